package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const consumePath = "/consumer/consume"

func openConsumer(t *testing.T, c *Client, topics []string, opts ...ConsumerOption) *Consumer {
	t.Helper()
	s, err := c.Consumer(t.Context(), topics, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.WithoutCancel(t.Context())) })
	return s
}

// fill stores messages prefix0, prefix1, … in a topic.
func fillTopic(t *testing.T, f *fakeBroker, topic, prefix string, n int) {
	t.Helper()
	c, _ := connect(t, f, nil)
	p := openProducer(t, c, topic)
	if _, err := p.SendBatch(t.Context(), numbered(prefix, n)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// collector is a handler that notes what it gets, by topic.
type collector struct {
	mu  sync.Mutex
	got map[string][]string
	n   int
}

func (c *collector) handle(_ context.Context, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.got == nil {
		c.got = map[string][]string{}
	}
	c.got[m.Topic] = append(c.got[m.Topic], string(m.Value))
	c.n++
	return nil
}

// Passing failures skip nothing and repeat nothing.
func TestPassingFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 25)
		faults := []fault{faultReply, faultNone, faultNoDial, fault503, faultNone, faultShort, faultHang, fault500, fault429}
		c, _ := connect(t, f, faultsOf(consumePath, faults...))
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(10), Timeout(3*time.Minute))
		var all []Message
		for m, err := range s.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		if want := texts(numbered("m", 25)); texts(all) != want {
			t.Errorf("got %s", texts(all))
		}
		if p, ok := s.Position("orders"); !ok || p.Offset != 25 || p.Incarnation != "one" {
			t.Errorf("%+v", p)
		}
	})
}

// Run handles topics in parallel: one whose handler takes forever, or that is empty, delays no other.
func TestRunInParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake("empty")
		fillTopic(t, f, "slow", "s", 3)
		fillTopic(t, f, "fast", "f", 300)
		c, _ := connect(t, f, nil)
		s := openConsumer(t, c, []string{"empty", "slow", "fast"}, Name("all"))
		ctx, cancel := context.WithCancel(t.Context())
		var col collector
		done := make(chan error, 1)
		go func() {
			done <- s.Run(ctx, func(ctx context.Context, m Message) error {
				if m.Topic == "slow" {
					<-ctx.Done()
					return ctx.Err()
				}
				return col.handle(ctx, m)
			})
		}()
		synctest.Wait()
		if got := strings.Join(col.got["fast"], " "); got != texts(numbered("f", 300)) {
			t.Errorf("fast got %s", got)
		}
		if _, err := s.Poll(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("Poll during Run: %v", err)
		}
		fillTopic(t, f, "empty", "e", 1)
		synctest.Wait()
		if got := strings.Join(col.got["empty"], " "); got != "e0" {
			t.Errorf("empty got %s", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for topic, want := range map[string]int64{"empty": 1, "slow": 0, "fast": 300} {
			if got := f.committed(topic, "all"); got != want {
				t.Errorf("%s is committed at %d, want %d", topic, got, want)
			}
		}
	})
}

var errHandler = errors.New("cannot handle this")

// A handler's error ends Run; its message is not processed, and the next Run begins with it.
func TestHandlerError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake("empty")
		fillTopic(t, f, "orders", "m", 10)
		c, _ := connect(t, f, nil)
		s := openConsumer(t, c, []string{"orders", "empty"}, Name("n"), Timeout(time.Minute))
		err := s.Run(t.Context(), func(_ context.Context, m Message) error {
			if m.Offset == 4 {
				return errHandler
			}
			return nil
		})
		if !errors.Is(err, errHandler) || !strings.Contains(err.Error(), "topic orders, offset 4") {
			t.Errorf("Run: %v", err)
		}
		if p, _ := s.Position("orders"); p.Offset != 4 {
			t.Errorf("position %d", p.Offset)
		}
		var col collector
		if err := s.Run(t.Context(), col.handle); err != nil {
			t.Errorf("the second Run: %v", err)
		}
		if got := strings.Join(col.got["orders"], " "); got != "m4 m5 m6 m7 m8 m9" {
			t.Errorf("the second Run got %s", got)
		}
	})
}

// A named consumer goes on where the one before it ended; an anonymous one leaves nothing behind.
func TestResumeByName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		c, _ := connect(t, f, nil)
		read := func(want string, n int, opts ...ConsumerOption) {
			t.Helper()
			s := openConsumer(t, c, []string{"orders"}, opts...)
			var got []Message
			for m, err := range s.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, m); len(got) == n {
					break
				}
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if texts(got) != want {
				t.Errorf("got %s, want %s", texts(got), want)
			}
		}
		read("m0 m1 m2", 3, Name("n"))
		read("m2 m3", 2, Name("n")) // m2 was the last one, and nobody came back for more
		read("m5 m6", 2, From(At(5)))
		read("m3", 1, Name("n"), From(End))
		position := Position{Offset: 8, Incarnation: "one"}
		read("m8 m9", 2, Offsets(map[string]Position{"orders": position}))
		read("m1 m2", 2, Name("n"), Offsets(map[string]Position{"orders": {Offset: 1}}))
		if f.mu.Lock(); len(f.consumers) != 1 {
			t.Errorf("%d consumers are left", len(f.consumers))
		}
		f.mu.Unlock()
		position.Incarnation = "other"
		_, err := c.Consumer(t.Context(), []string{"orders"}, Offsets(map[string]Position{"orders": position}))
		if !errors.Is(err, ErrIncarnationChanged) {
			t.Errorf("a position of another history: %v", err)
		}
	})
}

// One poll of a topic stays under way while others have messages, and what it finds is not lost.
func TestPollKeepsLongPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake("idle")
		fillTopic(t, f, "busy", "b", 10)
		c, l := connect(t, f, nil)
		s := openConsumer(t, c, []string{"idle", "busy"}, MaxMessages(1))
		for i := range 10 {
			messages, err := s.Poll(t.Context())
			if err != nil || texts(messages) != fmt.Sprint("b", i) {
				t.Fatalf("%s, %v", texts(messages), err)
			}
		}
		synctest.Wait()
		if n := len(l.to(consumePath)); n != 11 {
			t.Errorf("%d polls", n)
		}
		fillTopic(t, f, "idle", "i", 1)
		if messages, err := s.Poll(t.Context()); err != nil || texts(messages) != "i0" {
			t.Errorf("%s, %v", texts(messages), err)
		}
		if messages, err := s.Poll(t.Context()); err != nil || len(messages) != 0 {
			t.Errorf("an empty round: %s, %v", texts(messages), err)
		}
	})
}

// Close ends what is under way.
func TestCloseEndsReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake("orders"), nil)
		for _, read := range []func(s *Consumer) error{
			func(s *Consumer) error { _, err := s.Poll(t.Context()); return err },
			func(s *Consumer) error { return s.Run(t.Context(), new(collector).handle) },
		} {
			s := openConsumer(t, c, []string{"orders"})
			start, done := time.Now(), make(chan error, 1)
			go func() { done <- read(s) }()
			synctest.Wait()
			for range 2 {
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := <-done; !errors.Is(err, ErrClosed) || time.Since(start) > 0 {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			if _, err := s.Poll(t.Context()); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
}
