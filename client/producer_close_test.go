package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSendWhoseContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, _ := connect(t, f, faultsOf(producePath, faultLost))
		p := openProducer(t, c, "orders", Name("shop"), MaxBatchMessages(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			_, err := p.Send(ctx, Text("under way"))
			if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("under way: %v", err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			_, err := p.Send(ctx, Text("waiting"))
			if errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiting: %v", err)
			}
		})
		group.Wait()
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := p.Send(t.Context(), Text("after")); err != nil || r.Seq != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if got := strings.Join(f.orders(), " "); got != "under way after" {
			t.Errorf("stored: %s", got)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake(), func(r *request) fault {
			if r.path == producePath {
				return faultHang
			}
			return faultNone
		})
		p := openProducer(t, c, "orders", Name("shop"), MaxBatchMessages(1))
		var group sync.WaitGroup
		for _, want := range []error{ErrOutcomeUnknown, ErrClosed} {
			group.Go(func() {
				if _, err := p.Send(t.Context(), Text("x")); !errors.Is(err, want) || !errors.Is(err, ErrClosed) {
					t.Errorf("%v is not %v", err, want)
				}
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		group.Wait()
		if _, err := p.Send(t.Context(), Text("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
	})
}

// Sends wait for room, and the context of a waiting one ends it without a trace.
func TestMaxBuffered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, _ := connect(t, f, faultsOf(producePath, fault503))
		p := openProducer(t, c, "orders", Name("shop"), MaxBuffered(2, 1<<20))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := p.SendBatch(t.Context(), numbered("a", 3)); err != nil { // larger than the buffer
				t.Error(err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := p.Send(ctx, Text("b")); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := p.Send(t.Context(), Text("c")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		group.Wait()
		if got := strings.Join(f.orders(), " "); got != "a0 a1 a2 c" {
			t.Errorf("stored: %s", got)
		}
	})
}
