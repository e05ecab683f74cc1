package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Seek goes back and forward, and mends a topic that lost its place.
func TestSeek(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		c, _ := connect(t, f, nil)
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(3), Name("n"))
		poll := func(want string) {
			t.Helper()
			if messages, err := s.Poll(t.Context()); err != nil || texts(messages) != want {
				t.Errorf("%s, %v; want %s", texts(messages), err, want)
			}
		}
		seek := func(offset int64) {
			t.Helper()
			if err := s.Seek(t.Context(), "orders", offset); err != nil {
				t.Error(err)
			}
		}
		poll("m0 m1 m2")
		poll("m3 m4 m5")
		seek(1)
		poll("m1 m2 m3")
		seek(8)
		poll("m8 m9")
		seek(-1)
		poll("m0 m1 m2")
		f.mu.Lock()
		f.topics["orders"].first = 7
		f.mu.Unlock()
		if _, err := s.Poll(t.Context()); !errors.Is(err, ErrOffsetTrimmed) || *asError(err).FirstOffset != 7 {
			t.Errorf("%v", err)
		}
		seek(-1)
		poll("m7 m8 m9")
		if err := s.Seek(t.Context(), "unknown", 0); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%v", err)
		}
	})
}

// Commit counts what was handed out; a poll that Run made meanwhile does not make it fail.
func TestCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		c, l := connect(t, f, nil)
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(4), Name("n"), Timeout(time.Second))
		if _, err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.committed("orders", "n"); got != 0 {
			t.Errorf("committed %d before Commit", got)
		}
		for range 2 {
			if err := s.Commit(t.Context()); err != nil || f.committed("orders", "n") != 4 {
				t.Errorf("committed %d, %v", f.committed("orders", "n"), err)
			}
		}
		if n := len(l.to("/consumer/set_offset")); n != 1 {
			t.Errorf("set %d times", n)
		}
		err := s.Run(t.Context(), func(ctx context.Context, m Message) error {
			if err := s.Commit(ctx); err != nil {
				return err
			}
			if got := f.committed("orders", "n"); got != m.Offset {
				return fmt.Errorf("committed %d at %d", got, m.Offset)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A successor of the same name is never pulled back, neither by Commit nor by Close.
func TestCommitNeverGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		c, _ := connect(t, f, nil)
		old := openConsumer(t, c, []string{"orders"}, MaxMessages(4), Name("n"))
		if _, err := old.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		young := openConsumer(t, c, []string{"orders"}, MaxMessages(8), Name("n"))
		if _, err := young.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := young.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := old.Commit(t.Context()); !errors.Is(err, ErrOffsetBehind) {
			t.Errorf("Commit: %v", err)
		}
		if err := old.Close(t.Context()); !errors.Is(err, ErrOffsetBehind) {
			t.Errorf("Close: %v", err)
		}
		if got := f.committed("orders", "n"); got != 8 {
			t.Errorf("committed %d", got)
		}
	})
}
