package service_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// try produces one message, whatever comes of it.
func (f *fixture) try(text string) error {
	_, err := f.Produce(f.t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads(text)})
	return err
}

// look reads from an offset, whatever comes of it.
func (f *fixture) look(from service.Offset) ([]string, error) {
	got, err := f.Read(f.t.Context(), service.ReadRequest{Topic: topicName, Offset: &from})
	return texts(got.Messages), err
}

// Between a commit and its publication in memory, a position that the store has handed out lies
// beyond what memory knows. It is no less valid.
func TestPositionsAreGoodBeforePublication(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	f.produce("0")
	store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		plan, err := do()
		later := time.Now().Add(time.Hour)
		_, readErr := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Time: &later})
		wantErr(t, "read by time", readErr, nil)
		row, _, readErr := f.RegisterConsumer(t.Context(), topicName, "", service.FromEnd)
		wantErr(t, "register", readErr, nil)
		_, readErr = f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: row.ID, Offset: &row.Offset})
		wantErr(t, "consume where it was registered", readErr, nil)
		moved, readErr := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Limit: new(10)})
		wantErr(t, "move", readErr, nil)
		_, readErr = f.consumeAt(moved.Offset, 0)
		wantErr(t, "consume where it moved to", readErr, nil)
		got, readErr := f.look(0)
		want(t, "read", fmt.Sprint(got, readErr), "[0 1] <nil>")
		return plan, err
	}
	f.produce("1")
	want(t, "and the topic goes on", f.Ready(t.Context()), nil)
}

// A commit is published between the read of the head and the look at the tail: the answer does not
// go beyond the end it names.
func TestAnswerEndsWhereItsHeadDoes(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	f.produce("0")
	store.heads = func(_ int, do func() ([]service.Head, error)) ([]service.Head, error) {
		heads, err := do()
		f.produce("later", "later")
		return heads, err
	}
	for _, limit := range []int{1, 2, 100} {
		from := service.Offset(0)
		got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: &from, Limit: &limit})
		if err != nil || len(got.Messages) == 0 || got.Next > got.Head.Next {
			t.Errorf("limit %d: %d messages up to %d, the end is %d; %v", limit, len(got.Messages), got.Next, got.Head.Next, err)
		}
	}
}

// A topic is deleted and made anew, and produced to, before the broker that deleted it takes note.
func TestNewLifeOfADeletedTopicIsNotForgotten(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	f.produce("old")
	commit, reached, produced := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	store.remove = func(_ int, do func() (struct{}, error)) (struct{}, error) {
		_, err := do()
		p, _, _ := f.RegisterProducer(t.Context(), topicName, "", "")
		f.producer = p.ID
		_, _ = f.look(0)
		store.set(func() {
			store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
				close(reached)
				<-commit
				return do()
			}
		})
		go func() { produced <- f.try("new") }()
		<-reached
		return struct{}{}, err
	}
	if err := f.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	_, _ = f.look(0)
	close(commit)
	wantErr(t, "produce", <-produced, nil)
	store.set(func() { store.append = nil })
	got, err := f.look(0)
	want(t, "read after the ack", fmt.Sprint(got, err), "[new] <nil>")
	want(t, "offset of the next", f.produce("next"), 1)
}

func TestDeletionWithUnknownOutcomeIsLookedAt(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	f.produce("x")
	store.remove = func(_ int, do func() (struct{}, error)) (struct{}, error) {
		_, _ = do()
		return struct{}{}, service.ErrOutcomeUnknown
	}
	wantErr(t, "delete", f.DeleteTopic(t.Context(), topicName), service.ErrOutcomeUnknown)
	_, err := f.DescribeTopic(t.Context(), topicName)
	wantErr(t, "describe", err, service.ErrTopicNotFound)
	_, err = f.look(1)
	wantErr(t, "read at the end", err, service.ErrTopicNotFound)
	wantErr(t, "produce", f.try("y"), service.ErrTopicNotFound)
}

// The topic is replaced by another broker; at the same time an unrelated one is deleted here.
func TestReplacedTopicIsSeenWhateverElseHappens(t *testing.T) {
	t.Parallel()
	store := newHooked()
	a := setup(t, open(t, shared{store}, service.Config{}))
	b := setup(t, open(t, shared{store.Store}, service.Config{}))
	a.produce("old")
	if _, err := a.CreateTopic(t.Context(), "other", service.TopicChange{}); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	b = setup(t, b.Broker)
	b.produce("new")
	now, err := b.DescribeTopic(t.Context(), topicName)
	if err != nil {
		t.Fatal(err)
	}
	first := true
	store.set(func() {
		store.heads = func(_ int, do func() ([]service.Head, error)) ([]service.Head, error) {
			heads, err := do()
			if first {
				first = false
				wantErr(t, "delete", a.DeleteTopic(t.Context(), "other"), nil)
			}
			return heads, err
		}
	})
	got, err := a.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0)), Incarnation: now.Incarnation})
	want(t, "read", fmt.Sprint(texts(got.Messages), err), "[new] <nil>")
}

// An append is stored but its answer is lost; who waits for it must not sleep on, for the retry is
// a duplicate and publishes nothing.
func TestUnknownOutcomeWakesLongPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		p := f.named("p")
		store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			_, _ = do()
			return service.AppendPlan{}, service.ErrOutcomeUnknown
		}
		began := time.Now()
		time.AfterFunc(time.Second, func() {
			_, err := f.send(p, 0, "a")
			wantErr(t, "produce", err, service.ErrOutcomeUnknown)
		})
		got, err := f.consumeAt(0, 50*time.Second)
		want(t, "long poll", fmt.Sprint(texts(got.Messages), err, time.Since(began)), "[a] <nil> 1s")
	})
}

// A row that was read before a flush and arrives after it is older than what is known.
func TestPositionDoesNotGoBackInAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		f.produce("1", "2", "3")
		if _, err := f.consumeAt(3, 0); err != nil {
			t.Fatal(err)
		}
		store.set(func() {
			store.consumers = func(_ int, do func() ([]service.Consumer, error)) ([]service.Consumer, error) {
				rows, err := do()
				<-time.After(600 * time.Millisecond) // a flush happens here
				return rows, err
			}
		})
		want(t, "state", f.committed(), 3)
		store.set(func() { store.consumers = nil })
		_, err := f.consumeAt(1, 0)
		wantErr(t, "consume behind it", err, service.ErrOffsetBehind)
	})
}

func TestClosedBrokerRefusesEverything(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	f := setup(t, service.NewBroker(unclosed{store}, service.Config{}))
	f.produce("1", "2", "3")
	if _, err := f.consumeAt(1, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Offset: new(service.Offset(2)), Limit: new(1)})
	wantErr(t, "consume that memory could answer", err, service.ErrUnavailable)
	_, _, err = f.RegisterProducer(t.Context(), topicName, "", "")
	wantErr(t, "register", err, service.ErrUnavailable)
	rows, err := store.Consumers(t.Context(), []service.ConsumerID{f.consumer})
	if err != nil || len(rows) != 1 || rows[0].Offset != 1 {
		t.Errorf("stored: %v, %v; want position 1", rows, err)
	}
}

func TestReadThatFailedIsNoSuccess(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	store.set(func() {
		store.heads = func(int, func() ([]service.Head, error)) ([]service.Head, error) {
			return nil, service.ErrOutcomeUnknown.Because(errors.New("connection lost"))
		}
	})
	if state, err := f.DescribeTopic(t.Context(), topicName); err == nil {
		t.Errorf("described as %+v", state)
	}
}

// Nobody gets what is dequeued for a caller that has gone.
func TestAbandonedConsumeDoesNotDequeue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		f.produce("1", "2", "3")
		store.set(func() {
			store.move = func(_ int, do func() ([]service.MoveResult, error)) ([]service.MoveResult, error) {
				<-time.After(10 * time.Second)
				return do()
			}
		})
		other, _, err := f.RegisterConsumer(t.Context(), topicName, "", service.FromBeginning)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: other.ID}) }()
		synctest.Wait()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := f.Consume(ctx, service.ConsumeRequest{Topic: topicName, Consumer: f.consumer})
			wantErr(t, "consume", err, service.ErrOutcomeUnknown)
			cancel()
		}
		<-time.After(time.Minute)
		want(t, "position", f.committed(), 0)
	})
}

// A refusal says that this attempt moved nothing.
func TestRefusedConsumeCommitsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		f := setup(t, open(t, shared{store}, service.Config{}))
		state, err := f.DescribeTopic(t.Context(), topicName)
		if err != nil {
			t.Fatal(err)
		}
		f.produce("0", "1", "2", "3")
		if _, err := f.consumeAt(1, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Trim(t.Context(), state.ID, 4); err != nil { // through another broker
			t.Fatal(err)
		}
		_, err = f.consumeAt(3, 0)
		wantErr(t, "consume", err, service.ErrOffsetTrimmed)
		<-time.After(2 * time.Second)
		rows, err := store.Consumers(t.Context(), []service.ConsumerID{f.consumer})
		if err != nil || len(rows) != 1 || rows[0].Offset != 1 {
			t.Errorf("stored: %v, %v; want position 1", rows, err)
		}
	})
}

// Empty messages take memory, too.
func TestTailCountsWhatMessagesTakeInMemory(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(memory.Config{}), service.Config{Limits: service.Limits{TailBytes: 100_000}})
	for i := range 200 {
		name := service.TopicName(fmt.Sprint("t", i))
		p, _, err := b.RegisterProducer(t.Context(), name, "", "")
		if err != nil {
			t.Fatal(err)
		}
		list := make([]service.Payload, 50)
		if _, err := b.Produce(t.Context(), service.ProduceRequest{Topic: name, Producer: p.ID, Payloads: list}); err != nil {
			t.Fatal(err)
		}
	}
	if held := b.TailBytes(); held > 100_000 {
		t.Errorf("the tails hold %d bytes, more than the limit", held)
	}
}
