package client

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

const (
	// readTime is how long a broker may take to read a request, as Seek sees it.
	readTime = time.Second
	// lateTime is how long a request may be on its way at most. What happens later is told as ErrOffsetBehind.
	lateTime = 5 * time.Minute
)

// unanswered is the offsets of requests that left and got no answer, and when they left. Such a request was
// halted, or its connection was lost, but the broker may still come to it. Positions only move forward, so it
// is harmless, unless a Seek went back meanwhile: then it moves the consumer to where it was before.
type unanswered struct {
	mu sync.Mutex
	at map[int64]time.Time
}

// sent notes a request that carries an offset.
func (u *unanswered) sent(offset int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = make(map[int64]time.Time)
	}
	now := time.Now()
	maps.DeleteFunc(u.at, func(_ int64, at time.Time) bool { return now.Sub(at) > lateTime })
	u.at[offset] = now
}

// heard notes how such a request ended.
func (u *unanswered) heard(offset int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil || asError(err).Code != "" {
		delete(u.at, offset)
	}
}

func (u *unanswered) has(offset int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.at[offset]
	return ok
}

// wait waits until the broker has had the time to read what was sent last, or until a request has ended.
func (u *unanswered) wait(ctx context.Context, ended <-chan struct{}) error {
	var left time.Duration
	u.mu.Lock()
	for _, at := range u.at {
		left = max(left, time.Until(at.Add(readTime)))
	}
	u.mu.Unlock()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// calm lets the poll under way end, if the broker may not have read it yet, and halts it otherwise.
func (s *subscription) calm(ctx context.Context) error {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if err := s.unanswered.wait(ctx, stopped); err != nil {
		return err
	}
	s.halt()
	return s.unanswered.wait(ctx, nil) // it may have left at this very moment
}

// overtaken reports whether the broker refuses an offset because it came to an unanswered request of ours
// after a Seek, and returns the offset of that.
func (s *subscription) overtaken(err error) (int64, bool) {
	e := asError(err)
	if !errors.Is(err, ErrOffsetBehind) || e.Offset == nil {
		return 0, false
	}
	return *e.Offset, *e.Offset > s.position() && s.unanswered.has(*e.Offset)
}
