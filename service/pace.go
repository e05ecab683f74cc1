package service

import (
	"sync"
	"time"
)

// pace holds a rate. Whatever comes is let through if all that was let through before is paid for, at so many
// bytes a second; who rests for a second or longer has that second to spare. A request may be larger than what a
// second allows: it is let through like any other, and those after it wait the longer. A bucket that has to hold
// a request first would let none of these through; and if it were made so large, a stream of small requests
// would keep a large one waiting for ever.
//
// It measures what a clock cannot change (P14). A nil pace lets everything through.
type pace struct {
	rate int64 // bytes a second

	mu   sync.Mutex
	paid time.Time // when all that was let through is paid for
}

// saved is how much of the time in which nothing comes is to spare later.
const saved = time.Second

// newPace makes a pace, nil for a rate of 0.
func newPace(rate int64) *pace {
	if rate == 0 {
		return nil
	}
	return &pace{rate: rate}
}

// take lets n bytes through and returns 0, or returns how long they have to wait.
func (p *pace) take(now time.Time, n int64) (wait time.Duration) {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.paid.Sub(now); wait > 0 {
		return wait
	}
	p.add(now, n)
	return 0
}

// charge counts n bytes that are through already; less than 0 takes some back.
func (p *pace) charge(now time.Time, n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(now, n)
}

func (p *pace) add(now time.Time, n int64) {
	if earliest := now.Add(-saved); p.paid.Before(earliest) {
		p.paid = earliest
	}
	p.paid = p.paid.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
}

// owed returns how long it is until anything is let through.
func (p *pace) owed(now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.paid.Sub(now))
}
