package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// positionCache holds the consumers this broker serves by offset: their rows as last read, and
// the commits not flushed yet.
type positionCache struct {
	limit int

	mu   sync.Mutex
	byID map[ConsumerID]*position
}

// position is what is known of one consumer. All fields are guarded by the cache's mu.
type position struct {
	row Consumer
	// readAt is when the read or write began that row comes from.
	readAt time.Time
	usedAt time.Time
	// pending is the commit that was accepted but is not in the store yet, nil for none.
	pending *OffsetCommit
}

func newPositionCache(limit int) *positionCache {
	return &positionCache{limit: limit, byID: map[ConsumerID]*position{}}
}

// get returns a consumer as it is with its pending commit, if its row was read within the last
// second.
func (c *positionCache) get(id ConsumerID, now time.Time) (Consumer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[id]
	if p == nil || now.Sub(p.readAt) > trusted {
		return Consumer{}, false
	}
	p.usedAt = now
	return p.row.Apply(p.pending), true
}

// overlay returns a row from the store as it is with the commit pending here.
func (c *positionCache) overlay(row Consumer) Consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byID[row.ID]; p != nil {
		return row.Apply(p.pending)
	}
	return row
}

// learn takes in a row that was read or written; at is when that began. What is known from a
// later one stays. A pending commit from before a seek is void.
func (c *positionCache) learn(row Consumer, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[row.ID]
	if p == nil {
		c.byID[row.ID] = &position{row: row, readAt: at, usedAt: at}
		return
	}
	if row.SeekNo < p.row.SeekNo || (row.SeekNo == p.row.SeekNo && at.Before(p.readAt)) {
		return
	}
	if p.pending != nil && (p.pending.SeekNo != row.SeekNo || p.pending.Offset <= row.Offset) {
		p.pending = nil
	}
	p.row, p.readAt, p.usedAt = row, at, at
}

// forget drops a consumer that is gone.
func (c *positionCache) forget(id ConsumerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

// commit accepts a lazy commit of a consumer read as row. It returns the committed offset where n
// lies before it, else n.
func (c *positionCache) commit(row Consumer, n Offset) Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[row.ID]
	if p == nil { // evicted in between
		p = &position{row: row, readAt: time.Now()}
		c.byID[row.ID] = p
	}
	committed := p.row.Apply(p.pending).Offset
	if n > committed {
		p.pending = &OffsetCommit{Consumer: row.ID, Offset: n, SeekNo: p.row.SeekNo}
	}
	return max(committed, n)
}

// pending returns the commit waiting for a consumer, nil for none.
func (c *positionCache) pending(id ConsumerID) *OffsetCommit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byID[id]; p != nil {
		return p.pending
	}
	return nil
}

func (c *positionCache) allPending() []OffsetCommit {
	c.mu.Lock()
	defer c.mu.Unlock()
	var commits []OffsetCommit
	for _, p := range c.byID {
		if p.pending != nil {
			commits = append(commits, *p.pending)
		}
	}
	return commits
}

func (c *positionCache) pendingCount() int { return len(c.allPending()) }

// flushed takes note that a commit is in the store, or void.
func (c *positionCache) flushed(done OffsetCommit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[done.Consumer]
	if p == nil {
		return
	}
	p.row = p.row.Apply(&done)
	if p.pending != nil && *p.pending == done {
		p.pending = nil
	}
}

// evict drops consumers that have nothing pending and were not used for a minute, and more when
// there are too many.
func (c *positionCache) evict(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var idle []*position
	for id, p := range c.byID {
		switch {
		case p.pending != nil:
		case now.Sub(p.usedAt) > time.Minute:
			delete(c.byID, id)
		default:
			idle = append(idle, p)
		}
	}
	if surplus := len(c.byID) - c.limit; surplus > 0 {
		slices.SortFunc(idle, func(a, b *position) int { return cmp.Compare(a.usedAt.UnixNano(), b.usedAt.UnixNano()) })
		for _, p := range idle[:min(len(idle), surplus)] {
			delete(c.byID, p.row.ID)
		}
	}
}

// flushPositions writes the pending commits to the store. What fails stays pending.
func (b *Broker) flushPositions(ctx context.Context) {
	commits := b.positions.allPending()
	slices.SortFunc(commits, func(x, y OffsetCommit) int {
		return cmp.Or(cmp.Compare(BucketOfID(x.Consumer), BucketOfID(y.Consumer)), cmp.Compare(x.Consumer, y.Consumer))
	})
	for chunk := range slices.Chunk(commits, 1000) {
		if err := b.store.CommitOffsets(ctx, chunk, b.now()); err != nil {
			b.log.WarnContext(ctx, "positions were not flushed; trying again", "consumers", len(commits), "error", err)
			return
		}
		for _, commit := range chunk {
			b.positions.flushed(commit)
		}
	}
}

// trustedConsumer returns a consumer of a topic whose row was read within the last second, with
// what is pending. ErrConsumerNotFound rests on a row read after the call.
func (b *Broker) trustedConsumer(ctx context.Context, topic TopicID, id ConsumerID) (Consumer, error) {
	if row, ok := b.positions.get(id, time.Now()); ok && row.Topic == topic {
		return row, nil
	}
	return b.freshConsumer(ctx, topic, id)
}

// freshConsumer is trustedConsumer on a row read after the call.
func (b *Broker) freshConsumer(ctx context.Context, topic TopicID, id ConsumerID) (Consumer, error) {
	row, err := b.consumers.do(ctx, BucketOfID(id), id, 8)
	if errors.Is(err, ErrOutcomeUnknown) {
		return Consumer{}, context.Cause(ctx) // a read has no outcome
	}
	if err != nil {
		return Consumer{}, err
	}
	if topic != 0 && row.Topic != topic {
		return Consumer{}, ErrConsumerNotFound
	}
	return b.positions.overlay(row), nil
}

// readConsumers is the work of the consumers' lanes.
func (b *Broker) readConsumers(_ int, group []*job[ConsumerID, Consumer]) {
	ids := make([]ConsumerID, len(group))
	for i, j := range group {
		ids[i] = j.req
	}
	slices.Sort(ids)
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	at := time.Now()
	rows, err := b.store.Consumers(ctx, slices.Compact(ids))
	found := make(map[ConsumerID]Consumer, len(rows))
	for _, row := range rows {
		found[row.ID] = row
		b.positions.learn(row, at)
	}
	for _, j := range group {
		row, ok := found[j.req]
		switch {
		case err != nil:
			j.err = err
		case !ok:
			b.positions.forget(j.req)
			j.err = ErrConsumerNotFound
		default:
			j.res = row
		}
	}
}
