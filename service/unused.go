package service

import (
	"context"
	"sync"
	"time"
)

// forgetRows is how many registrations one transaction forgets at most.
const forgetRows = 500

// usage notes which producers and consumers are used, so that those that nobody uses can be told from them. It
// must cost a produce nothing: who was noted within the last interval is not noted again, and what is
// noted is written later, by the loop.
type usage struct {
	interval time.Duration
	limit    int // of each map

	mu        sync.Mutex
	producers uses[ProducerID]
	consumers uses[ConsumerID]
}

// uses are the ids of one kind with the time when they were last noted, and those to be written.
type uses[ID comparable] struct {
	noted   map[ID]time.Time
	pending map[ID]bool
}

// newUsage notes also where nothing is ever forgotten: another broker on the store may forget.
func newUsage(after time.Duration, limit int) *usage {
	u := &usage{interval: time.Hour, limit: limit}
	if after > 0 {
		u.interval = min(after/10, time.Hour)
	}
	u.producers.clear()
	u.consumers.clear()
	return u
}

func (u *usage) producer(id ProducerID, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.producers.note(id, now, u)
}

func (u *usage) consumer(id ConsumerID, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.consumers.note(id, now, u)
}

func (s *uses[ID]) clear() { s.noted, s.pending = map[ID]time.Time{}, map[ID]bool{} }

func (s *uses[ID]) note(id ID, now time.Time, u *usage) {
	if at, ok := s.noted[id]; ok && now.Sub(at) < u.interval {
		return
	}
	if len(s.pending) >= u.limit {
		return // the store is away: it is noted when it is used again after that
	}
	if len(s.noted) >= u.limit {
		s.noted = map[ID]time.Time{} // all are noted once more, which costs a write and loses nothing
	}
	s.noted[id] = now
	s.pending[id] = true
}

// take returns at most n ids that are to be written.
func (s *uses[ID]) take(n int) []ID {
	ids := make([]ID, 0, min(n, len(s.pending)))
	for id := range s.pending {
		if len(ids) == n {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

func (s *uses[ID]) written(ids []ID) {
	for _, id := range ids {
		delete(s.pending, id)
	}
}

// unusedLoop writes what was used, and forgets what was not.
func (b *Broker) unusedLoop(ctx context.Context) {
	flush := time.NewTicker(min(b.used.interval, time.Minute))
	defer flush.Stop()
	swept := time.Now() // who comes back after the broker was away is noted first
	for {
		select {
		case <-ctx.Done():
			b.flushUsed(context.WithoutCancel(ctx))
			return
		case <-flush.C:
		}
		b.flushUsed(ctx)
		if now := time.Now(); b.config.ForgetUnusedAfter > 0 && now.Sub(swept) >= b.used.interval {
			swept = now
			b.forgetUnused(ctx)
		}
	}
}

// flushUsed writes what was noted. What fails stays noted.
func (b *Broker) flushUsed(ctx context.Context) {
	for {
		b.used.mu.Lock()
		producers, consumers := b.used.producers.take(forgetRows), b.used.consumers.take(forgetRows)
		b.used.mu.Unlock()
		if len(producers)+len(consumers) == 0 {
			return
		}
		if err := b.store.Touch(ctx, producers, consumers, b.now()); err != nil {
			b.log.WarnContext(ctx, "it was not noted who is in use; trying again", "error", err)
			return
		}
		b.used.mu.Lock()
		b.used.producers.written(producers)
		b.used.consumers.written(consumers)
		b.used.mu.Unlock()
	}
}

// forgetUnused removes the anonymous registrations that nobody has used for long. A client that comes back
// after that is told so: its id is not found, and it registers anew. Messages stay whoever has sent them.
func (b *Broker) forgetUnused(ctx context.Context) {
	since := b.now().Add(-b.config.ForgetUnusedAfter)
	total := 0
	for ctx.Err() == nil {
		n, err := b.store.ForgetUnused(ctx, since, forgetRows)
		if err != nil {
			if ctx.Err() == nil {
				b.log.WarnContext(ctx, "unused registrations were not forgotten; trying again later", "error", err)
			}
			break
		}
		if n == 0 {
			break
		}
		total += n
	}
	if total > 0 {
		b.log.InfoContext(ctx, "anonymous producers and consumers that nobody used were forgotten", "count", total)
	}
}
