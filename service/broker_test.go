package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// fixture is a broker with one topic, one unnamed producer and one consumer on it.
type fixture struct {
	*service.Broker
	t        *testing.T
	producer service.ProducerID
	consumer service.ConsumerID
}

const topicName service.TopicName = "orders"

// open starts a broker that is closed when the test ends.
func open(t *testing.T, store service.Store, config service.Config) *service.Broker {
	t.Helper()
	b := service.NewBroker(store, config)
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func setup(t *testing.T, b *service.Broker) *fixture {
	t.Helper()
	p, _, err := b.RegisterProducer(t.Context(), topicName, "", "")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := b.RegisterConsumer(t.Context(), topicName, "", service.FromBeginning)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{b, t, p.ID, c.ID}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
}

func payloads(texts ...string) []service.Payload {
	list := make([]service.Payload, len(texts))
	for i, text := range texts {
		list[i] = service.Payload{Bytes: []byte(text)}
	}
	return list
}

func texts(messages []service.Message) []string {
	list := make([]string, len(messages))
	for i := range messages {
		list[i] = string(messages[i].Bytes)
	}
	return list
}

func (f *fixture) produce(messages ...string) service.Offset {
	f.t.Helper()
	// Whoever waits for the message may end the test before the answer to this has come.
	ctx := context.WithoutCancel(f.t.Context())
	result, err := f.Produce(ctx, service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads(messages...)})
	if err != nil {
		f.t.Fatal(err)
	}
	offset, _ := result.Offset()
	return offset
}

func (f *fixture) consumeAt(offset service.Offset, wait time.Duration) (service.ConsumeResult, error) {
	return f.Consume(f.t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Offset: &offset, Wait: &wait})
}

func (f *fixture) committed() service.Offset {
	f.t.Helper()
	state, err := f.ConsumerState(f.t.Context(), topicName, f.consumer, "")
	if err != nil {
		f.t.Fatal(err)
	}
	return state.Offset
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantErr(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got error %v, want %v", what, err, target)
	}
}

func TestPlainConsumeMovesByOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	plain := service.ConsumeRequest{Topic: topicName, Consumer: f.consumer}
	_, err := f.Consume(t.Context(), plain)
	wantErr(t, "empty topic", err, service.ErrNoMessage)
	want(t, "an empty consume moves nothing", f.committed(), 0)
	f.produce("a", "b")
	for i, text := range []string{"a", "b"} {
		got, err := f.Consume(t.Context(), plain)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "message", texts(got.Messages), []string{text})
		want(t, "offset", got.Offset, service.Offset(i+1))
	}
	_, err = f.Consume(t.Context(), plain)
	wantErr(t, "at the end", err, service.ErrNoMessage)
	want(t, "position", f.committed(), 2)
}

func TestConsumeWithoutOffsetMovesByWhatItAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.produce("a", "bb", "ccc", "d")
	for _, c := range []struct {
		limit    int
		maxBytes int64
		want     []string
	}{{2, 100, []string{"a", "bb"}}, {100, 3, []string{"ccc"}}, {100, 100, []string{"d"}}, {100, 100, nil}} {
		got, err := f.Consume(t.Context(), service.ConsumeRequest{
			Topic: topicName, Consumer: f.consumer, Limit: &c.limit, MaxBytes: &c.maxBytes,
		})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "messages", fmt.Sprint(texts(got.Messages)), fmt.Sprint(c.want))
		want(t, "position", f.committed(), got.Offset)
	}
}

func TestConsumeWithOffsetMayBeRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.produce("a", "b", "c")
	for range 3 {
		got, err := f.consumeAt(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "messages", texts(got.Messages), []string{"b", "c"})
		want(t, "next", got.Offset, 3)
		want(t, "it commits what was sent and nothing else", f.committed(), 1)
	}
	_, err := f.consumeAt(0, 0)
	wantErr(t, "going back", err, service.ErrOffsetBehind)
	_, err = f.consumeAt(4, 0)
	wantErr(t, "beyond the end", err, service.ErrOffsetOutOfRange)
	want(t, "a refusal commits nothing", f.committed(), 1)
	if _, err := f.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: f.consumer, Offset: new(service.Offset(-1))}); err != nil {
		t.Fatal(err)
	}
	got, err := f.consumeAt(0, 0)
	if err != nil || len(got.Messages) != 3 {
		t.Errorf("after set_offset: %v, %v", texts(got.Messages), err)
	}
}

func TestCommitByOffsetIsFlushedWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := unclosed{memory.New(memory.Config{})}
		f := setup(t, service.NewBroker(store, service.Config{}))
		f.produce("a", "b", "c")
		if _, err := f.consumeAt(2, 0); err != nil {
			t.Fatal(err)
		}
		stored := func() service.Offset {
			rows, err := store.Consumers(t.Context(), []service.ConsumerID{f.consumer})
			if err != nil || len(rows) != 1 {
				t.Fatal(rows, err)
			}
			return rows[0].Offset
		}
		want(t, "the commit is lazy", stored(), 0)
		want(t, "but known", f.committed(), 2)
		<-time.After(1100 * time.Millisecond)
		want(t, "flushed", stored(), 2)
		if _, err := f.consumeAt(3, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "flushed at shutdown", stored(), 3)
	})
}

// unclosed is a store that can be looked at after its broker was closed.
type unclosed struct{ service.Store }

func (unclosed) Close() error { return nil }

func TestLongPollWakesOnProduce(t *testing.T) {
	t.Parallel()
	for _, moves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
			began := time.Now()
			time.AfterFunc(3*time.Second, func() { f.produce("late") })
			r := service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Wait: new(30 * time.Second)}
			if !moves {
				r.Offset = new(service.Offset(0))
			}
			got, err := f.Consume(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "messages", texts(got.Messages), []string{"late"})
			want(t, "waited", time.Since(began), 3*time.Second)
		})
	}
}

func TestLongPollEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
		began := time.Now()
		got, err := f.consumeAt(0, 5*time.Second)
		if err != nil || len(got.Messages) > 0 {
			t.Errorf("got %v, %v", texts(got.Messages), err)
		}
		want(t, "waited", time.Since(began), 5*time.Second)
		read, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0)), Wait: new(time.Second)})
		if err != nil || len(read.Messages) > 0 || read.Head.Next != 0 {
			t.Errorf("read: %v, %v", read, err)
		}
	})
}

func TestLongPollEndsWhenTheTopicIsDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
		began := time.Now()
		time.AfterFunc(time.Second, func() {
			if err := f.DeleteTopic(t.Context(), topicName); err != nil {
				t.Error(err)
			}
		})
		_, err := f.consumeAt(0, 30*time.Second)
		wantErr(t, "consume", err, service.ErrTopicNotFound)
		want(t, "waited", time.Since(began), time.Second)
	})
}

func TestLongPollEndsWhenTheBrokerCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := service.NewBroker(memory.New(memory.Config{}), service.Config{})
		f := setup(t, b)
		closed := make(chan error)
		time.AfterFunc(time.Second, func() { closed <- b.Close(t.Context()) })
		began := time.Now()
		got, err := f.consumeAt(0, 30*time.Second)
		wantErr(t, "consume", err, nil)
		want(t, "messages", len(got.Messages), 0)
		want(t, "waited", time.Since(began), time.Second)
		_, err = f.consumeAt(0, 0)
		wantErr(t, "afterwards", err, service.ErrUnavailable)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Limits: service.Limits{Waiters: 1}}))
		go func() { _, _ = f.consumeAt(0, 30*time.Second) }()
		synctest.Wait()
		_, err := f.consumeAt(0, 30*time.Second)
		wantErr(t, "the second", err, service.ErrOverloaded)
		f.produce("a")
		synctest.Wait()
		if _, err := f.consumeAt(1, time.Second); err != nil {
			t.Errorf("after the first went: %v", err)
		}
	})
}

func TestReadByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
		var stamps []time.Time
		for _, text := range []string{"a", "b", "c"} {
			stamps = append(stamps, time.Now())
			f.produce(text)
			<-time.After(time.Minute)
		}
		for i, at := range append(stamps, time.Now()) {
			got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Time: &at})
			if err != nil {
				t.Fatal(err)
			}
			want(t, "messages", texts(got.Messages), []string{"a", "b", "c"}[i:])
			row, err := f.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: f.consumer, Time: &at})
			if err != nil {
				t.Fatal(err)
			}
			want(t, "set_offset", row.Offset, service.Offset(i))
		}
	})
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(memory.Config{}), service.Config{})
	var all []service.TopicName
	for i := range 7 {
		name := service.TopicName(fmt.Sprintf("t-%d", i))
		all = append(all, name)
		if _, err := b.CreateTopic(t.Context(), name, service.TopicChange{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []service.TopicName
	for after, pages := service.TopicName(""), 0; ; pages++ {
		names, next, err := b.ListTopics(t.Context(), "t-", after, new(3))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, names...)
		if next == "" {
			want(t, "pages", pages+1, 3)
			break
		}
		after = next
	}
	if !slices.Equal(got, all) {
		t.Errorf("got %v, want %v", got, all)
	}
}
