package client

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesOfAProducer(t *testing.T) {
	t.Parallel()
	t.Run("Linger gathers", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, l := connect(t, newFake(), nil)
			p := openProducer(t, c, "orders", Linger(time.Second))
			start := time.Now()
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() { _, _ = p.Send(t.Context(), Text("x")) })
				_ = sleep(t.Context(), 100*time.Millisecond)
			}
			group.Wait()
			if n := len(l.to(producePath)); n != 1 || time.Since(start) != time.Second {
				t.Errorf("%d requests after %s", n, time.Since(start))
			}
			group.Go(func() { _, _ = p.Send(t.Context(), Text("x")) })
			synctest.Wait()
			if err := p.Flush(t.Context()); err != nil || time.Since(start) != time.Second {
				t.Errorf("Flush after %s: %v", time.Since(start), err)
			}
			group.Wait()
		})
	})
	t.Run("MaxTimeout waits at random", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, l := connect(t, newFake(), nil)
			p := openProducer(t, c, "orders", MaxTimeout(time.Second))
			for range 50 {
				if _, err := p.Send(t.Context(), Text("x")); err != nil {
					t.Fatal(err)
				}
			}
			var longest time.Duration
			requests := l.to(producePath)
			for i, r := range requests[1:] {
				longest = max(longest, r.at.Sub(requests[i].at))
			}
			if longest < time.Second/2 || longest > time.Second {
				t.Errorf("the longest pause was %s", longest)
			}
		})
	})
	t.Run("Retry-After is waited for", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, _ := connect(t, newFake(), faultsOf(producePath, fault503))
			p := openProducer(t, c, "orders", Name("shop"))
			start := time.Now()
			if _, err := p.Send(t.Context(), Text("x")); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d < 7*time.Second || d > 8*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	})
}
