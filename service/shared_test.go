package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// shared makes one store look like one that other brokers write to as well.
type shared struct{ service.Store }

func (s shared) Properties() service.Properties {
	p := s.Store.Properties()
	p.Shared = true
	p.Lanes = 4
	return p
}

func (shared) Close() error { return nil }

// pair is two brokers on one store.
func pair(t *testing.T) (a, b *fixture) {
	t.Helper()
	store := shared{memory.New(memory.Config{})}
	a = setup(t, open(t, store, service.Config{}))
	b = setup(t, open(t, store, service.Config{}))
	return a, b
}

// What one broker has acknowledged is never hidden by another (P12), however much that one
// believes to know: whichever call comes first sees it.
func TestOtherBrokersMessagesAreNeverHidden(t *testing.T) {
	t.Parallel()
	three := []string{"of a", "of b", "of b"}
	for name, look := range map[string]func(f *fixture, from service.Offset){
		"read": func(f *fixture, from service.Offset) {
			got, err := f.Read(f.t.Context(), service.ReadRequest{Topic: topicName, Offset: &from})
			wantErr(f.t, "read", err, nil)
			want(f.t, "read", texts(got.Messages), three)
			want(f.t, "end_offset", got.Head.Next, from+3)
		},
		"consume with offset": func(f *fixture, from service.Offset) {
			got, err := f.consumeAt(from, 0)
			wantErr(f.t, "consume", err, nil)
			want(f.t, "consume", texts(got.Messages), three)
		},
		"consume at the end": func(f *fixture, from service.Offset) {
			got, err := f.consumeAt(from+1, 0)
			wantErr(f.t, "consume", err, nil)
			want(f.t, "consume", texts(got.Messages), three[1:])
			got, err = f.consumeAt(from+3, 0)
			wantErr(f.t, "consume at the end", err, nil)
			want(f.t, "consume at the end", len(got.Messages), 0)
		},
		"consume beyond what is known": func(f *fixture, from service.Offset) {
			got, err := f.consumeAt(from+3, 0)
			wantErr(f.t, "consume at the end", err, nil)
			want(f.t, "consume at the end", len(got.Messages), 0)
		},
		"size": func(f *fixture, from service.Offset) {
			size, err := f.Size(f.t.Context(), topicName, f.consumer)
			wantErr(f.t, "size", err, nil)
			want(f.t, "size", size, int64(from+3))
		},
		"describe": func(f *fixture, from service.Offset) {
			state, err := f.DescribeTopic(f.t.Context(), topicName)
			wantErr(f.t, "describe", err, nil)
			want(f.t, "next_offset", state.Next, from+3)
		},
		"register at the end": func(f *fixture, from service.Offset) {
			row, _, err := f.RegisterConsumer(f.t.Context(), topicName, "", service.FromEnd)
			wantErr(f.t, "register", err, nil)
			want(f.t, "offset", row.Offset, from+3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			a.t, b.t = t, t
			for from := service.Offset(0); from < 30; from += 3 {
				a.produce("of a") // a's tail now ends here
				b.produce("of b")
				b.produce("of b")
				look(a, from)
				look(b, from)
			}
		})
	}
}

func TestMoveAtAnotherBrokerSeesAll(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.produce("1")
	b.produce("2")
	got, err := a.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: a.consumer, Limit: new(10)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "messages", texts(got.Messages), []string{"1", "2"})
}

func TestLongPollWakesOnAnotherBrokersProduce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		began := time.Now()
		time.AfterFunc(3*time.Second, func() { b.produce("of b") })
		got, err := a.consumeAt(0, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "messages", texts(got.Messages), []string{"of b"})
		if waited := time.Since(began); waited > 4*time.Second {
			t.Errorf("woke after %v", waited)
		}
	})
}

func TestTopicDeletedByAnotherBroker(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.produce("old")
	if _, err := a.consumeAt(0, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	_, err := a.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: a.producer, Payloads: payloads("x")})
	wantErr(t, "produce", err, service.ErrTopicNotFound)
	_, err = a.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
	wantErr(t, "read", err, service.ErrTopicNotFound)
	_, err = a.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: a.consumer})
	wantErr(t, "plain consume", err, service.ErrTopicNotFound)
}

func TestTopicReplacedByAnotherBroker(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.produce("old", "old")
	before, err := a.DescribeTopic(t.Context(), topicName)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	b = setup(t, b.Broker)
	b.produce("new")
	_, err = a.Produce(t.Context(), service.ProduceRequest{
		Topic: topicName, Producer: a.producer, Payloads: payloads("x"), Incarnation: before.Incarnation,
	})
	wantErr(t, "produce with the old incarnation", err, service.ErrIncarnationChanged)
	_, err = a.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: a.producer, Payloads: payloads("x")})
	wantErr(t, "produce with the old producer", err, service.ErrProducerNotFound)
	got, err := a.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "messages", texts(got.Messages), []string{"new"})
	a.producer = b.producer
	want(t, "offset of the next", a.produce("newer"), 1)
}

// A lazy commit of one broker never undoes a seek made through another.
func TestSeekAtAnotherBrokerIsNotUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		a.produce("1", "2", "3")
		if _, err := a.consumeAt(3, 0); err != nil { // pending at a
			t.Fatal(err)
		}
		if _, err := b.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: a.consumer, Offset: new(service.Offset(1))}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // a flushes
		for _, f := range []*fixture{a, b} {
			state, err := f.ConsumerState(t.Context(), topicName, a.consumer, "")
			if err != nil {
				t.Fatal(err)
			}
			want(t, "position", state.Offset, 1)
		}
		got, err := a.consumeAt(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "messages", texts(got.Messages), []string{"2", "3"})
	})
}

// A consume right after a seek at another broker must not be refused because of what this broker
// believed a moment ago.
func TestConsumeAfterSeekAtAnotherBroker(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.produce("1", "2", "3")
	if _, err := a.consumeAt(3, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: a.consumer, Offset: new(service.Offset(0))}); err != nil {
		t.Fatal(err)
	}
	got, err := a.consumeAt(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "messages", texts(got.Messages), []string{"1", "2", "3"})
}

// What is known of a consumer and of a topic is trusted for a second, not longer.
func TestWhatIsKnownIsTrustedForASecond(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end func(b, of *fixture) error
		err error
	}{
		"consumer unregistered": {func(b, of *fixture) error {
			return b.UnregisterConsumer(b.t.Context(), topicName, of.consumer)
		}, service.ErrConsumerNotFound},
		"topic deleted": {func(b, _ *fixture) error {
			return b.DeleteTopic(b.t.Context(), topicName)
		}, service.ErrTopicNotFound},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := pair(t)
			a.produce("1", "2")
			r := service.ConsumeRequest{Topic: topicName, Consumer: a.consumer, Offset: new(service.Offset(0)), Limit: new(1)}
			if _, err := a.Consume(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if err := c.end(b, a); err != nil {
				t.Fatal(err)
			}
			<-time.After(1100 * time.Millisecond)
			_, err := a.Consume(t.Context(), r)
			wantErr(t, name, err, c.err)
		})
	}
}
