package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// killer kills a broker and starts it again, over and over.
type killer struct {
	child   *child
	traffic *traffic
	every   time.Duration
	random  *rand.Rand
	kills   []kill
}

// maxAim is the longest time from the beginning of a request to the kill. A request takes about as
// long, so kills come before it is stored, while it is, and after.
const maxAim = 5 * time.Millisecond

// run kills until done is closed or ctx ends; not at all if nothing is to be killed. When it returns
// without an error, the broker runs.
func (k *killer) run(ctx context.Context, done <-chan struct{}) error {
	if k.every == 0 {
		return nil
	}
	for {
		timer := time.NewTimer(k.every)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		if !k.aim(ctx, done) {
			return context.Cause(ctx)
		}
		inFlight, before := k.traffic.now()
		k.child.kill()
		if err := k.child.start(ctx); err != nil {
			return err
		}
		_, after := k.traffic.now()
		k.kills = append(k.kills, kill{inFlight, after.Unanswered - before.Unanswered})
	}
}

// last kills once more when everything is over, so that what is read again comes from the store and
// not from the memory of a broker that saw it sent.
func (k *killer) last(ctx context.Context) error {
	if k.every == 0 {
		return nil
	}
	k.child.kill()
	return k.child.start(ctx)
}

// aim waits until a request to produce is under way: a kill between two requests would test only
// that a broker can start. It returns false if there are none any more.
func (k *killer) aim(ctx context.Context, done <-chan struct{}) bool {
	for k.traffic.nextProduce(ctx, done) {
		if pause(ctx, time.Duration(k.random.Int64N(int64(maxAim)))) != nil {
			return false
		}
		if producing, _ := k.traffic.now(); producing > 0 {
			return true
		}
	}
	return false
}
