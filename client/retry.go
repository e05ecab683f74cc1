package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Defaults and limits of retries.
const (
	defaultRetryAttempts = 8
	defaultRetryBase     = 100 * time.Millisecond
	defaultRetryMax      = 5 * time.Second
	// maxRetryAfter bounds what an answer may make us wait.
	maxRetryAfter = time.Minute
)

// Retry says how passing failures are retried. A zero field means its default.
//
// The pause before the second attempt is about Base and doubles from attempt to attempt up to Max. Each
// pause is shortened by a random part of up to one half, so that many clients do not come back at the same
// moment. A Retry-After of the broker (at most one minute of it) is waited for in any case.
//
// Only what may be repeated is repeated: reads, and registrations, positions and sequenced messages, whose
// repetition changes nothing. Everything else is repeated only if it certainly had no effect: the
// connection could not be opened, or the broker answered rate_limited or request_timeout.
type Retry struct {
	// Attempts is how often one call is tried in all; 1 means no retries. Default 8. It bounds neither what a
	// producer sends, see [Producer], nor the polling of a consumer, which goes on until its context ends.
	Attempts int
	// Base is the first pause. Default 100 ms.
	Base time.Duration
	// Max is the longest pause. Default 5 s.
	Max time.Duration
}

func (r Retry) withDefaults() (Retry, error) {
	if r.Attempts < 0 || r.Base < 0 || r.Max < 0 {
		return r, invalid("retry", "no field may be negative")
	}
	if r.Attempts == 0 {
		r.Attempts = defaultRetryAttempts
	}
	if r.Base == 0 {
		r.Base = defaultRetryBase
	}
	if r.Max == 0 {
		r.Max = max(defaultRetryMax, r.Base)
	}
	if r.Max < r.Base {
		return r, invalid("retry", "Max (%s) is below Base (%s)", r.Max, r.Base)
	}
	return r, nil
}

// pause is how long to wait after the given number of failed attempts, the last of which failed with e.
func (r Retry) pause(failed int, e *Error) time.Duration {
	pause := r.Max
	if shift := failed - 1; shift < 32 && r.Base<<shift>>shift == r.Base {
		pause = min(r.Base<<shift, r.Max)
	}
	pause -= time.Duration(rand.Int64N(int64(pause)/2 + 1)) //nolint:gosec // jitter, not a secret
	// The random part is added to a Retry-After too: all clients were told the same number.
	if after := min(e.RetryAfter, maxRetryAfter); after > 0 {
		return after + pause
	}
	return pause
}

// retry repeats an attempt while its failure passes. A repeatable call may also be repeated if the outcome
// of an attempt is unknown.
func retry[T any](
	ctx context.Context, c *Client, repeatable bool, attempt func(context.Context) (T, error),
) (T, error) {
	return repeat(ctx, c, repeatable, c.retry.Attempts, attempt)
}

// repeat is retry with another bound.
func repeat[T any](
	ctx context.Context, c *Client, repeatable bool, attempts int, attempt func(context.Context) (T, error),
) (T, error) {
	doubt := false
	for n := 1; ; n++ {
		result, err := attempt(ctx)
		if err == nil {
			return result, nil
		}
		e := asError(err)
		doubt = doubt || e.unknown
		if e.passing && (repeatable || !e.unknown) && n < attempts {
			c.log.DebugContext(ctx, "topiq: retrying", "attempt", n, "error", err)
			waitErr := sleep(ctx, c.retry.pause(n, e))
			if waitErr == nil {
				continue
			}
			err = fmt.Errorf("%w while waiting to retry: %w", waitErr, err)
		}
		if doubt && !e.unknown {
			err = doubtful(e.Op, err)
		}
		return result, err
	}
}

// sleep waits for d or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
