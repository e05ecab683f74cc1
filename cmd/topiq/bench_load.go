package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// benchWorker is one connection under load.
type benchWorker interface {
	// do makes one request and returns how many messages and bytes of payload it has moved. sent is
	// when it began, or when it should have. An error that passes is counted, and do called again.
	do(ctx context.Context, sent time.Time) (work, error)
	// rest is called when a phase ends: the next one may be long in coming.
	rest()
}

// work is what a request has done.
type work struct {
	messages, bytes int64
	// uncounted is for requests that only prepare the next ones.
	uncounted bool
}

// load is one phase: all workers at once, for some time.
type load struct {
	workers          []benchWorker
	warmUp, duration time.Duration
	// interval is the time from one request of a worker to its next; 0 is as fast as it is answered.
	interval time.Duration
}

// Failures that pass: how many in a row end the run, and the pause after each.
const (
	maxFailures  = 100
	failurePause = 100 * time.Millisecond
)

// run returns what was done after the warm-up.
func (l *load) run(ctx context.Context, live *liveFigures) (figures, error) {
	began := time.Now()
	r := newRecorder(began.Add(l.warmUp), began.Add(l.warmUp+l.duration), live)
	group, working := errgroup.WithContext(ctx)
	for i, w := range l.workers {
		first := began.Add(l.interval * time.Duration(i) / time.Duration(len(l.workers)))
		group.Go(func() error {
			defer w.rest()
			return l.drive(working, w, pacer{next: first, interval: l.interval}, &meter{recorder: r})
		})
	}
	if err := group.Wait(); err != nil {
		return figures{}, err
	}
	return r.figures(), nil
}

// drive lets one worker work to the end of the phase. A request that has begun is finished, so that
// nothing stays in doubt.
func (l *load) drive(ctx context.Context, w benchWorker, p pacer, m *meter) error {
	defer m.flush()
	failures := 0
	for {
		sent, err := p.turn(ctx)
		if err != nil {
			return err
		}
		if !sent.Before(m.recorder.end) {
			return nil
		}
		done, err := w.do(ctx, sent)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now := time.Now()
		if err == nil {
			failures = 0
			m.add(now, now.Sub(sent), done)
			continue
		}
		code, passes := passing(err)
		if failures++; !passes || failures == maxFailures {
			return err
		}
		m.fail(now, code)
		if err := pause(ctx, failurePause); err != nil {
			return err
		}
	}
}

// passing returns what a failure is counted under, and whether the run goes on.
func passing(err error) (code string, passes bool) {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.code, refused.passing()
	}
	if lost, ok := errors.AsType[*lostError](err); ok {
		return "connection", lost != nil
	}
	return "", false
}

// lostError is a request without an answer.
type lostError struct{ cause error }

// Error implements error.
func (e *lostError) Error() string { return fmt.Sprintf("a request got no answer: %v", e.cause) }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.cause }

// pacer says when a worker sends its next request.
type pacer struct {
	next     time.Time
	interval time.Duration
}

// turn waits until it is time for the next request, and returns the time from which it counts. If the
// answer to the one before came too late, that is when this one was due, not when it could be sent: otherwise
// a broker that stalls for a second would be charged with one slow request, instead of all that could not
// be sent meanwhile (coordinated omission). A worker that had to wait begins when it wakes: timers are late by up
// to a millisecond, which is not the broker's doing.
func (p *pacer) turn(ctx context.Context) (time.Time, error) {
	now := time.Now()
	if p.interval == 0 {
		return now, nil
	}
	due := p.next
	p.next = due.Add(p.interval)
	wait := due.Sub(now)
	if wait <= 0 {
		return due, nil
	}
	if err := pause(ctx, wait); err != nil {
		return now, err
	}
	return time.Now(), nil
}

// meter collects what one worker does, and hands it on now and then: a lock for each request would
// be one that all of them wait for.
type meter struct {
	recorder  *recorder
	latencies []int64 // microseconds
	sum       work
	failures  map[string]int64
	flushed   time.Time
}

const (
	meterRequests = 256
	meterTime     = 100 * time.Millisecond
)

// add notes what was done at a time, if that is measured, and how long it took.
func (m *meter) add(at time.Time, took time.Duration, done work) {
	if r := m.recorder; done.uncounted || at.Before(r.start) || !at.Before(r.end) {
		return
	}
	m.latencies = append(m.latencies, took.Microseconds())
	m.sum.messages += done.messages
	m.sum.bytes += done.bytes
	if len(m.latencies) >= meterRequests || at.Sub(m.flushed) > meterTime {
		m.flushed = at
		m.flush()
	}
}

func (m *meter) fail(now time.Time, code string) {
	if r := m.recorder; now.Before(r.start) || !now.Before(r.end) {
		return
	}
	if m.failures == nil {
		m.failures = map[string]int64{}
	}
	m.failures[code]++
	m.flush()
}

func (m *meter) flush() {
	m.recorder.add(m)
	m.latencies, m.sum = m.latencies[:0], work{}
	clear(m.failures)
}

// liveFigures are what the progress line shows.
type liveFigures struct {
	mu               sync.Mutex
	messages, errors int64
}

func (l *liveFigures) add(messages, errors int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages += messages
	l.errors += errors
}

func (l *liveFigures) read() (messages, errors int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.messages, l.errors
}
