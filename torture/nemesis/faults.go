package nemesis

import (
	"context"
	"fmt"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// recoveryLimit is I19's.
const recoveryLimit = 30 * time.Second

// Fault counts n faults that are made now. One that comes when no request to produce is under way is
// not counted: it tests nothing. Call it right before the fault.
func (r *Round) Fault(n int) {
	if r.before < 0 {
		r.before = r.Result.RateBefore
	}
	for _, w := range r.workloads {
		if w.InFlight() > 0 {
			r.faults += n
			return
		}
	}
	r.idle += n
}

// FaultSoon waits, for a moment at most, until a request to produce is under way, and then counts one
// fault.
func (r *Round) FaultSoon() {
	for range 200 {
		for _, w := range r.workloads {
			if w.InFlight() > 0 {
				r.Fault(1)
				return
			}
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // bounded, and what is waited for tells nobody
	}
	r.Fault(1)
}

// FaultsMade counts n faults that something else made and saw to hit, such as a proxy.
func (r *Round) FaultsMade(n int) {
	if r.before < 0 {
		r.before = r.Result.RateBefore
	}
	r.faults += n
}

// Recovered waits until every running broker has stored something and shown something that was asked
// of it after the fault ended, and notes how long that took. More than 30 seconds break I19.
func (r *Round) Recovered(ctx context.Context, ended time.Time) error {
	r.ended = ended
	deadline := ended.Add(recoveryLimit)
	for _, w := range r.workloads {
		if w.Stopped() {
			continue
		}
		since := w.Recorder().Since(ended)
		for i, b := range r.brokers {
			for b.Running() && i < w.Brokers() {
				s := w.Served(i)
				if s.Produce >= since && s.Read >= since {
					break
				}
				if time.Now().After(deadline) {
					r.violation("I19: broker %d had stored nothing or shown nothing %s after the fault; its log ends: %s", i, recoveryLimit, b.LogTail())
					return nil
				}
				if err := server.Pause(ctx, 2*time.Millisecond); err != nil {
					return err
				}
			}
			if err := b.Died(); err != nil {
				r.violation("%v", err)
				return nil
			}
		}
	}
	r.Result.RecoveryMS = append(r.Result.RecoveryMS, time.Since(ended).Milliseconds())
	return nil
}

// steady waits until the rate is 90 % of that before the first fault again (I19).
func (r *Round) steady(ctx context.Context, w *workload.Workload) error {
	if r.ended.IsZero() {
		r.ended = time.Now()
	}
	const window = time.Second
	if err := server.Pause(ctx, time.Until(r.ended.Add(window))); err != nil {
		return err
	}
	for {
		now := w.Recorder().Now()
		rate := w.Rate(now-int64(window), now)
		r.Result.RateAfter = max(r.Result.RateAfter, rate)
		if rate >= 0.9*r.Result.RateBefore {
			return nil
		}
		if time.Since(r.ended) > recoveryLimit+window {
			r.violation("I19: %.0f produces a second %s after the last fault, and %.0f before the first", r.Result.RateAfter, recoveryLimit, r.Result.RateBefore)
			return nil
		}
		if err := server.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// violation is a broken invariant that has no count of its own.
func (r *Round) violation(format string, args ...any) {
	r.Result.Other++
	r.Result.Violations = append(r.Result.Violations, fmt.Sprintf(format, args...))
}

// Violation adds a broken invariant that the nemesis itself has seen, as a sentence.
func (r *Round) Violation(format string, args ...any) { r.violation(format, args...) }

// Invalid says why the round proves nothing; the first reason is kept.
func (r *Round) Invalid(format string, args ...any) {
	if r.Result.Invalid == "" {
		r.Result.Invalid = fmt.Sprintf(format, args...)
	}
}
