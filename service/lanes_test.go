package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type intJob = job[int, int]

// closing closes the lanes at the end of a test.
func closing(t *testing.T, l *lanes[int, int]) {
	t.Helper()
	if err := l.close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

func double(_ int, group []*intJob) {
	for _, j := range group {
		j.res = 2 * j.req
	}
}

func TestLanesGroupWhatArrivesWhileOneIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var sizes []int
		l := newLanes(1, &backlog{requests: 100, bytes: 100}, func(lane int, group []*intJob) {
			sizes = append(sizes, len(group)) // one group at a time: the race detector watches
			<-release
			double(lane, group)
		})
		defer closing(t, l)
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				if got, err := l.do(t.Context(), 0, i, 1); err != nil || got != 2*i {
					t.Errorf("do(%d) = %d, %v", i, got, err)
				}
			})
			if i == 0 {
				synctest.Wait() // the first is under way before the others come
			}
		}
		synctest.Wait()
		close(release)
		callers.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 9 {
			t.Errorf("groups of %v, want [1 9]", sizes)
		}
	})
}

func TestLanesGroupAsMuchAsTheStoreTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var groups [][]int
		l := newLanes(1, &backlog{requests: 100, bytes: 100}, func(lane int, group []*intJob) {
			var weights []int
			for _, j := range group {
				weights = append(weights, int(j.weight))
			}
			groups = append(groups, weights)
			<-release
			double(lane, group)
		})
		defer closing(t, l)
		l.groupBytes = 10
		for _, weight := range []int64{1, 6, 4, 1, 20, 3} {
			if err := l.submit(0, newJob[int, int](t.Context(), 1, weight)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
		// The first is under way before the others come, and the one that is too large goes alone.
		if want := "[[1] [6 4] [1] [20] [3]]"; fmt.Sprint(groups) != want {
			t.Errorf("groups of %v, want %s", groups, want)
		}
	})
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		l := newLanes(2, &backlog{requests: 100, bytes: 100}, func(lane int, group []*intJob) {
			if lane == 0 {
				<-stuck
			}
			double(lane, group)
		})
		defer closing(t, l)
		go func() { _, _ = l.do(t.Context(), 0, 1, 1) }()
		synctest.Wait()
		if got, err := l.do(t.Context(), 1, 21, 1); err != nil || got != 42 {
			t.Errorf("the other lane answered %d, %v", got, err)
		}
		close(stuck)
	})
}

func TestLanesRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l := newLanes(1, &backlog{requests: 2, bytes: 10}, func(lane int, group []*intJob) {
			<-release
			double(lane, group)
		})
		defer closing(t, l)
		go func() { _, _ = l.do(t.Context(), 0, 1, 6) }()
		synctest.Wait()
		if _, err := l.do(t.Context(), 0, 2, 5); !errors.Is(err, ErrOverloaded) {
			t.Errorf("too many bytes: %v", err)
		}
		go func() { _, _ = l.do(t.Context(), 0, 3, 1) }()
		synctest.Wait()
		if _, err := l.do(t.Context(), 0, 4, 1); !errors.Is(err, ErrOverloaded) {
			t.Errorf("too many requests: %v", err)
		}
		close(release)
		synctest.Wait()
		if got, err := l.do(t.Context(), 0, 5, 10); err != nil || got != 10 {
			t.Errorf("after the queue emptied: %d, %v", got, err)
		}
	})
}

func TestCallerThatGoesAwayDoesNotCancelTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, finished := make(chan struct{}), false
		l := newLanes(1, &backlog{requests: 2, bytes: 10}, func(int, []*intJob) {
			<-release
			finished = true
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := l.do(ctx, 0, 1, 1); !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("do = %v, want outcome_unknown because it was cancelled", err)
		}
		close(release)
		if err := l.close(t.Context()); err != nil || !finished {
			t.Errorf("close = %v, group finished: %v", err, finished)
		}
	})
}

func TestLanesCloseFinishesWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, &backlog{requests: 100, bytes: 100}, func(lane int, group []*intJob) {
			<-time.After(time.Second)
			double(lane, group)
		})
		var callers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() {
				if got, err := l.do(t.Context(), 0, i, 1); err != nil || got != 2*i {
					t.Errorf("do(%d) = %d, %v", i, got, err)
				}
			})
		}
		synctest.Wait()
		if err := l.close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := l.do(t.Context(), 0, 1, 1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after close: %v", err)
		}
		callers.Wait()
	})
}

func TestAttempt(t *testing.T) {
	t.Parallel()
	bad := ErrInternal.Because(ErrBadData)
	splits := func(err error) bool { return errors.Is(err, ErrBadData) }
	for _, c := range []struct {
		name  string
		fails func(call int, group []int) error
		calls int
		errs  []error
	}{
		{"OK", func(int, []int) error { return nil }, 1, []error{nil, nil, nil}},
		{"a passing failure is tried once more", func(call int, _ []int) error {
			if call == 1 {
				return ErrUnavailable
			}
			return nil
		}, 2, []error{nil, nil, nil}},
		{"a lasting failure fails all", func(int, []int) error { return ErrUnavailable }, 2, []error{ErrUnavailable, ErrUnavailable, ErrUnavailable}},
		{"an unknown outcome is never repeated", func(int, []int) error { return ErrOutcomeUnknown }, 1, []error{ErrOutcomeUnknown, ErrOutcomeUnknown, ErrOutcomeUnknown}},
		{"even if its cause could be", func(int, []int) error { return ErrOutcomeUnknown.Because(errors.Join(ErrUnavailable, bad)) }, 1, []error{ErrOutcomeUnknown, ErrOutcomeUnknown, ErrOutcomeUnknown}},
		{"bad data fails alone", func(_ int, group []int) error {
			if slices.Contains(group, 1) {
				return bad
			}
			return nil
		}, 4, []error{nil, bad, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			results, errs := attempt([]int{0, 1, 2}, func(group []int) ([]int, error) {
				calls++
				if err := c.fails(calls, group); err != nil {
					return nil, err
				}
				return group, nil
			}, splits)
			if calls != c.calls {
				t.Errorf("%d calls, want %d", calls, c.calls)
			}
			for i, want := range c.errs {
				if !errors.Is(errs[i], want) || (want == nil && (errs[i] != nil || results[i] != i)) {
					t.Errorf("request %d: %d, %v; want error %v", i, results[i], errs[i], want)
				}
			}
		})
	}
}
