package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// openStream opens a stream that ends with the test.
func (f *fixture) openStream(from service.Offset) *service.Stream {
	f.t.Helper()
	s, err := f.Stream(f.t.Context(), service.StreamRequest{Topic: topicName, Offset: from})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Close)
	return s
}

// tell reads the next event, as a word and where the stream goes on.
func (f *fixture) tell(s *service.Stream, wait time.Duration) (kind service.StreamKind, next service.Offset) {
	f.t.Helper()
	event, err := s.Next(f.t.Context(), wait)
	if err != nil {
		f.t.Fatal(err)
	}
	if n := len(event.Messages); (n > 0) != (event.Kind == service.StreamMessages) {
		f.t.Errorf("an event of kind %d has %d messages", event.Kind, n)
	}
	return event.Kind, event.Next
}

func (f *fixture) wantTold(s *service.Stream, wait time.Duration, kind service.StreamKind, next service.Offset) {
	f.t.Helper()
	gotKind, gotNext := f.tell(s, wait)
	if gotKind != kind || gotNext != next {
		f.t.Fatalf("told kind %d at %d, want %d at %d", gotKind, gotNext, kind, next)
	}
}

func TestStreamTellsMessagesAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.produce("a", "b")
		s := f.openStream(0)
		f.wantTold(s, 0, service.StreamMessages, 2)
		f.wantTold(s, 0, service.StreamCaughtUp, 2)
		f.wantTold(s, 0, service.StreamIdle, 0)
		f.wantTold(s, 15*time.Second, service.StreamIdle, 0)
		time.AfterFunc(20*time.Second, func() { f.produce("c") })
		f.wantTold(s, 15*time.Second, service.StreamIdle, 0)
		f.wantTold(s, 15*time.Second, service.StreamMessages, 3)
		f.wantTold(s, 15*time.Second, service.StreamCaughtUp, 3)
	})
}

// A batch is small however much is there, and the end is told once, after the last one.
func TestStreamReadsLittleAtATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	big := strings.Repeat("x", 40<<10)
	f.produce(big, big, big, big)
	s := f.openStream(0)
	for next := service.Offset(1); next <= 4; next++ {
		f.wantTold(s, 0, service.StreamMessages, next)
	}
	f.wantTold(s, 0, service.StreamCaughtUp, 4)
}

func TestStreamWakesOnAnotherBrokersProduce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		s := a.openStream(0)
		a.wantTold(s, 0, service.StreamCaughtUp, 0)
		began := time.Now()
		time.AfterFunc(3*time.Second, func() { b.produce("of b") })
		a.wantTold(s, time.Minute, service.StreamMessages, 1)
		if waited := time.Since(began); waited > 4*time.Second {
			t.Errorf("woke after %v", waited)
		}
	})
}

// A topic that another broker deleted, or made anew under the name, ends the stream: what follows is
// another history (P12, P13).
func TestStreamEndsWithItsTopic(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		anew bool
		want error
	}{
		"deleted":   {false, service.ErrTopicNotFound},
		"made anew": {true, service.ErrIncarnationChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t)
				b.produce("of b")
				s := a.openStream(1)
				a.wantTold(s, 0, service.StreamCaughtUp, 1)
				time.AfterFunc(3*time.Second, func() {
					err := b.DeleteTopic(t.Context(), topicName)
					if err == nil && c.anew {
						_, err = b.CreateTopic(t.Context(), topicName, service.TopicChange{})
					}
					if err != nil {
						t.Error(err)
					}
				})
				_, err := s.Next(t.Context(), time.Minute)
				wantErr(t, "the stream", err, c.want)
			})
		})
	}
}

// What was trimmed before it was told is told as trimmed, and nothing is left out beside it (P11).
func TestStreamTellsWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		f := setup(t, open(t, store, service.Config{}))
		big := strings.Repeat("x", 40<<10)
		f.produce(big, big, big, big)
		s := f.openStream(0)
		f.wantTold(s, 0, service.StreamMessages, 1)
		heads, err := store.Heads(t.Context(), []service.TopicName{topicName})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Trim(t.Context(), heads[0].ID, 3); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // what is known is trusted for a second
		f.wantTold(s, 0, service.StreamTrimmed, 3)
		f.wantTold(s, 0, service.StreamMessages, 4)
		f.wantTold(s, 0, service.StreamCaughtUp, 4)

		_, err = f.Stream(t.Context(), service.StreamRequest{Topic: topicName, Offset: 1})
		wantErr(t, "a stream of what is gone", err, service.ErrOffsetTrimmed)
		resumed, err := f.Stream(t.Context(), service.StreamRequest{Topic: topicName, Offset: 1, Resumes: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(resumed.Close)
		f.wantTold(resumed, 0, service.StreamTrimmed, 3)
	})
}

// The rows go between the look and the read: then it is the read that finds out.
func TestStreamTellsWhatIsTrimmedWhileItReads(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	trim := func() {}
	faulty := &dbtest.Faulty{Store: store, Before: func(method string) error {
		if method == "Read" {
			trim()
		}
		return nil
	}}
	first := setup(t, open(t, shared{store}, service.Config{}))
	first.produce("a", "b", "c")
	f := setup(t, open(t, shared{faulty}, service.Config{})) // whose tail is empty
	s := f.openStream(0)
	trim = func() {
		trim = func() {}
		heads, err := store.Heads(t.Context(), []service.TopicName{topicName})
		if err == nil {
			_, err = store.Trim(t.Context(), heads[0].ID, 2)
		}
		if err != nil {
			t.Error(err)
		}
	}
	f.wantTold(s, 0, service.StreamTrimmed, 2)
	f.wantTold(s, 0, service.StreamMessages, 3)
	f.wantTold(s, 0, service.StreamCaughtUp, 3)
}

// A store that fails ends the stream with what it said; the place among those who wait is free again.
func TestStreamGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Limits: service.Limits{Waiters: 1}}))
	request := service.StreamRequest{Topic: topicName}
	for range 3 {
		s, err := f.Stream(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Stream(t.Context(), request)
		wantErr(t, "a second stream", err, service.ErrOverloaded)
		_, err = f.consumeAt(0, time.Second)
		wantErr(t, "a long poll", err, service.ErrOverloaded)
		s.Close()
		_, err = f.Stream(t.Context(), service.StreamRequest{Topic: "nope"})
		wantErr(t, "an unknown topic", err, service.ErrTopicNotFound)
	}
}

func TestStreamEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := service.NewBroker(memory.New(memory.Config{}), service.Config{})
		f := setup(t, b)
		s := f.openStream(0)
		f.wantTold(s, 0, service.StreamCaughtUp, 0)
		told := make(chan struct{})
		b.WhenClosing(func() { close(told) })
		if stop := b.WhenClosing(func() { t.Error("called though it was taken back") }); !stop() {
			t.Error("it was not taken back in time")
		}
		closed := make(chan error, 1)
		time.AfterFunc(time.Second, func() { closed <- b.Close(context.WithoutCancel(t.Context())) })
		_, err := s.Next(t.Context(), time.Hour)
		wantErr(t, "the stream", err, service.ErrUnavailable)
		<-told
		if err := <-closed; err != nil {
			t.Error(err)
		}
		_, err = s.Next(t.Context(), 0)
		wantErr(t, "again", err, service.ErrUnavailable)
		if refusal := (*service.Error)(nil); !errors.As(err, &refusal) || refusal.Message != "the broker is shutting down" {
			t.Errorf("the stream ended with %v", err)
		}
	})
}
