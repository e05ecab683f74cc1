package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Timeout counts only the time without a message.
func TestTimeout(t *testing.T) {
	t.Parallel()
	ways := map[string]func(ctx context.Context, s *Consumer, work func()) error{
		"Poll": func(ctx context.Context, s *Consumer, work func()) error {
			for {
				messages, err := s.Poll(ctx)
				if errors.Is(err, ErrTimeout) {
					return nil
				}
				if err != nil {
					return err
				}
				if len(messages) > 0 {
					work()
				}
			}
		},
		"Messages": func(ctx context.Context, s *Consumer, work func()) error {
			for _, err := range s.Messages(ctx) {
				if err != nil {
					return err
				}
				work()
			}
			return nil
		},
		"Run": func(ctx context.Context, s *Consumer, work func()) error {
			return s.Run(ctx, func(context.Context, Message) error {
				work()
				return nil
			})
		},
	}
	for way, read := range ways {
		for _, wait := range []time.Duration{0, time.Second, time.Minute} {
			t.Run(fmt.Sprint(way, wait), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFake("other")
					fillTopic(t, f, "orders", "m", 1)
					c, _ := connect(t, f, nil)
					s := openConsumer(t, c, []string{"orders", "other"}, Timeout(30*time.Second), Wait(wait))
					start := time.Now()
					group := sync.WaitGroup{}
					group.Go(func() {
						_ = sleep(t.Context(), 2*time.Minute+20*time.Second)
						fillTopic(t, f, "other", "o", 1)
					})
					worked := 0
					err := read(t.Context(), s, func() {
						worked++
						_ = sleep(t.Context(), 2*time.Minute) // longer than Timeout
					})
					group.Wait()
					// The first message, 2 min work, 20 s idle, another message, 2 min work, 30 s idle.
					want := 4*time.Minute + 50*time.Second
					if d := time.Since(start); err != nil || worked != 2 || d < want || d > want+time.Second {
						t.Errorf("%d messages in %s, %v", worked, d, err)
					}
				})
			})
		}
	}
}

func TestPollTimes(t *testing.T) {
	t.Parallel()
	gaps := func(requests []*request) (all []time.Duration) {
		for i, r := range requests[1:] {
			all = append(all, r.at.Sub(requests[i].at))
		}
		return all
	}
	for name, row := range map[string]struct {
		opts   []ConsumerOption
		faults []fault
		want   string
	}{
		"PollTime is the interval": {[]ConsumerOption{PollTime(3 * time.Second), Wait(0)}, nil, "[3s 3s 3s]"},
		"a long poll is longer":    {[]ConsumerOption{PollTime(3 * time.Second), Wait(5 * time.Second)}, nil, "[3s 3s 5s]"},
		"without long poll":        {[]ConsumerOption{Wait(0)}, nil, "[1s 1s 1s]"},
		"after an error": {
			[]ConsumerOption{PollTime(time.Second), PollTimeAfterError(4 * time.Second), Wait(0)},
			[]fault{faultReply, faultNone, fault500},
			"[4s 1s 4s]",
		},
		"after a Retry-After": {[]ConsumerOption{PollTimeAfterError(time.Second), Wait(0)}, []fault{fault503}, "[7s 1s 1s]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				fillTopic(t, f, "orders", "m", 4)
				c, l := connect(t, f, faultsOf(consumePath, row.faults...))
				s := openConsumer(t, c, []string{"orders"}, append(row.opts, MaxMessages(2))...)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := s.Run(ctx, new(collector).handle); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if got := fmt.Sprint(gaps(l.to(consumePath)[:4])); got != row.want {
					t.Errorf("the polls were apart %s, want %s", got, row.want)
				}
			})
		})
	}
}
