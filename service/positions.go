package service

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/topiq/topiq/fault"
)

// positionCache holds the consumers this broker serves by offset: their rows as last read, and
// the commits not flushed yet.
type positionCache struct {
	limit int

	mu    sync.Mutex
	byID  map[ConsumerID]*position
	dirty map[ConsumerID]*position
	// renewedAt is when the positions of a topic were forgotten last. What a read brings that began
	// before may be of the history that was lost.
	renewedAt time.Time
}

// position is what is known of one consumer. All fields are guarded by the cache's mu.
type position struct {
	row Consumer
	// readAt is when the last read or write began that row was compared with.
	readAt time.Time
	usedAt time.Time
	// pending is the commit that was accepted but is not in the store yet, nil for none. The
	// consumers that have one are in the cache's dirty set.
	pending *OffsetCommit
}

func newPositionCache(limit int) *positionCache {
	return &positionCache{limit: limit, byID: map[ConsumerID]*position{}, dirty: map[ConsumerID]*position{}}
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

// overlay returns a row from the store as it is with what is known here: the pending commit, and
// one that was flushed while the row was on its way. Without a seek a position never goes back.
func (c *positionCache) overlay(row Consumer) Consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[row.ID]
	if p == nil {
		return row
	}
	if p.row.SeekNo == row.SeekNo {
		row.Offset = max(row.Offset, p.row.Offset)
	}
	return row.Apply(p.pending)
}

// learn takes in a row that was read or written; at is when that began. Rows may arrive late:
// SeekNo, and within one SeekNo the offset, say which is the newer. A pending commit from before a
// seek is void.
func (c *positionCache) learn(row Consumer, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Before(c.renewedAt) {
		return
	}
	p := c.byID[row.ID]
	if p == nil {
		c.byID[row.ID] = &position{row: row, readAt: at, usedAt: at}
		return
	}
	if row.SeekNo < p.row.SeekNo || (row.SeekNo == p.row.SeekNo && row.Offset < p.row.Offset) {
		return
	}
	if p.pending != nil && (p.pending.SeekNo != row.SeekNo || p.pending.Offset <= row.Offset) {
		c.clean(p)
	}
	p.row, p.readAt, p.usedAt = row, latest(at, p.readAt), latest(at, p.usedAt)
}

func (c *positionCache) clean(p *position) {
	p.pending = nil
	delete(c.dirty, p.row.ID)
}

// expire makes the next use of a consumer read its row: this broker does not know what became of
// a write.
func (c *positionCache) expire(id ConsumerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byID[id]; p != nil {
		p.readAt = time.Time{}
	}
}

// forget drops a consumer that is gone.
func (c *positionCache) forget(id ConsumerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
	delete(c.dirty, id)
}

// forgetTopic drops what is known of the consumers of a topic that has got another incarnation, and
// their pending commits: they belong to a history that may be lost, and in the one that is there now a
// position may have gone back, which no other row ever does.
func (c *positionCache) forgetTopic(id TopicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewedAt = time.Now()
	for consumer, p := range c.byID {
		if p.row.Topic == id {
			delete(c.byID, consumer)
			delete(c.dirty, consumer)
		}
	}
}

// commit accepts a lazy commit, made under an incarnation, of a consumer read as row. It returns the
// committed offset where n lies before it, else n.
func (c *positionCache) commit(row Consumer, n Offset, incarnation string) Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byID[row.ID]
	if p == nil { // evicted in between
		p = &position{row: row, readAt: time.Now()}
		c.byID[row.ID] = p
	}
	committed := p.row.Apply(p.pending).Offset
	if n > committed {
		p.pending = &OffsetCommit{Consumer: row.ID, Offset: n, SeekNo: p.row.SeekNo, Incarnation: incarnation}
		c.dirty[row.ID] = p
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
	commits := make([]OffsetCommit, 0, len(c.dirty))
	for _, p := range c.dirty {
		commits = append(commits, *p.pending)
	}
	return commits
}

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
		c.clean(p)
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
		err := b.store.CommitOffsets(ctx, chunk, b.now())
		if err == nil {
			err = fault.Point("offset.after_commit")
		}
		if err != nil {
			b.log.WarnContext(ctx, "positions were not flushed; trying again", "consumers", len(chunk), "error", err)
			continue // others may be in a part of the store that works
		}
		for _, commit := range chunk {
			b.positions.flushed(commit)
		}
	}
}

// freshConsumer returns a consumer of a topic (0 = of any) as it is after the call, with what is
// pending here. ErrConsumerNotFound.
func (b *Broker) freshConsumer(ctx context.Context, topic TopicID, id ConsumerID) (Consumer, error) {
	row, err := b.consumers.do(ctx, BucketOfID(id), id, 8)
	if err != nil {
		return Consumer{}, readError(ctx, err)
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
