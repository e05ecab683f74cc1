package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// While a Close waits for a handler, the client can be closed, and another Close ends with its context.
func TestCloseWhileAHandlerWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 1)
		c, _ := connect(t, f, nil)
		s := openConsumer(t, c, []string{"orders"}, Name("n"))
		work, ran, closed := make(chan struct{}), make(chan error, 1), make(chan error, 1)
		go func() {
			ran <- s.Run(t.Context(), func(context.Context, Message) error {
				<-work
				return nil
			})
		}()
		synctest.Wait()
		go func() { closed <- s.Close(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second Close: %v", err)
		}
		if err := c.Close(); err != nil { // hangs if it waits for the handler
			t.Error(err)
		}
		close(work)
		if err := <-ran; !errors.Is(err, ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Errorf("the first Close could not tell the position: %v", err)
		}
	})
}

// What Poll handed out of one topic counts as processed also if another topic has ended.
func TestAllTopicsAreSettled(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(ctx context.Context, s *Consumer) error{
		"Poll": func(ctx context.Context, s *Consumer) error { _, err := s.Poll(ctx); return err },
		"Run":  func(ctx context.Context, s *Consumer) error { return s.Run(ctx, new(collector).handle) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake("gone")
				fillTopic(t, f, "orders", "m", 5)
				c, _ := connect(t, f, nil)
				s := openConsumer(t, c, []string{"gone", "orders"}, Name("n"))
				if messages, err := s.Poll(t.Context()); err != nil || len(messages) != 5 {
					t.Fatalf("%s, %v", texts(messages), err)
				}
				s.subs[0].failed(ErrTopicNotFound)
				if err := again(t.Context(), s); !errors.Is(err, ErrTopicNotFound) {
					t.Error(err)
				}
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if got := f.committed("orders", "n"); got != 5 {
					t.Errorf("committed %d", got)
				}
			})
		})
	}
}

// Commit returns nil only if it has committed.
func TestCommitOfAnEndedTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake("other")
		fillTopic(t, f, "orders", "m", 3)
		c, _ := connect(t, f, func(r *request) fault {
			if r.path == consumePath && r.n == 3 {
				return fault401 // such as while a token is renewed
			}
			return faultNone
		})
		s := openConsumer(t, c, []string{"orders", "other"}, Name("n"))
		if messages, err := s.Poll(t.Context()); err != nil || len(messages) != 3 {
			t.Fatalf("%s, %v", texts(messages), err)
		}
		if _, err := s.Poll(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("Poll: %v", err)
		}
		if err := s.Commit(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("Commit: %v, and the broker has %d", err, f.committed("orders", "n"))
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}
