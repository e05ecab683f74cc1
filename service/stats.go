package service

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Observer is told of what a broker does: once for each group, not for each request. Its methods are
// called while a lane stands still, so they must be quick and must not block.
type Observer interface {
	// Grouped is told of a group after its transaction has ended, one way or the other.
	Grouped(g Group)
}

// Work is what a group was for.
type Work string

// The kinds of work that are committed in groups.
const (
	WorkAppend Work = "append"
	WorkMove   Work = "move"
)

// Group is one transaction for all requests that had waited for it (P7).
type Group struct {
	Work     Work
	Requests int
	// Messages were stored, or dequeued; Bytes is their size (Payload.Size).
	Messages int
	Bytes    int64
	// Took is how long the transaction lasted, its COMMIT included.
	Took time.Duration
	// Err is why all of the group failed, nil where at most single requests were refused.
	Err error
}

// unobserved is the Observer of a broker that nobody looks at.
type unobserved struct{}

func (unobserved) Grouped(Group) {}

// counters are what a broker counts by itself, since its start.
type counters struct {
	violations           atomic.Int64 // what was found that must never be
	tailHits, tailMisses atomic.Int64
	resolved, unresolved atomic.Int64            // appends whose outcome was unknown at first
	quotas               map[Quota]*atomic.Int64 // what each has refused; the map itself never changes
}

func quotaCounts() map[Quota]*atomic.Int64 {
	counts := map[Quota]*atomic.Int64{}
	for _, quota := range Quotas() {
		counts[quota] = new(atomic.Int64)
	}
	return counts
}

// Stats are figures of a broker. Counts are since its start.
type Stats struct {
	// Queues are what waits for a transaction or a read, by its kind: append, move, head, consumer.
	Queues map[string]QueueStats
	// Waiting are the calls that wait for a message.
	Waiting QueueStats
	// TailBytes is what the newest messages in memory take; TailHits counts reads of messages that were
	// answered from there, TailMisses those that were answered from the store.
	TailBytes, TailHits, TailMisses int64
	// Topics is how many topics are known without asking the store.
	Topics int
	// PendingPositions is how many consumers have a lazy commit that was not flushed yet.
	PendingPositions int
	// Violations counts what was found that must never be (I21).
	Violations int64
	// Resolved counts groups whose outcome was unknown and was found out, Unresolved those where it was
	// not (P9).
	Resolved, Unresolved int64
	// QuotaRefusals counts what each quota has refused.
	QuotaRefusals map[Quota]int64
	// Store is what the engine says of itself.
	Store StoreStats
}

// QueueStats is what a bounded queue holds, and how often it refused.
type QueueStats struct {
	// Requests and Bytes are in the queue, what is under way included.
	Requests int
	Bytes    int64
	// Refused counts what was refused as overloaded.
	Refused int64
}

// StoreStats are figures of an engine. What it does not have is nil.
type StoreStats struct {
	Pools []PoolStats
	File  *FileStats
}

// PoolStats are those of one pool of connections to a database.
type PoolStats struct {
	Name string
	// Used, Idle and Opening are connections now, Max the most there may be.
	Used, Idle, Opening, Max int
	// Acquired counts how often one was taken; Waited how often nobody had one to give, and
	// WaitTime how long all of those have waited together.
	Acquired, Waited int64
	WaitTime         time.Duration
}

// FileStats are those of a store in a file.
type FileStats struct {
	// Bytes is the size of the file, WALBytes that of its write-ahead log.
	Bytes, WALBytes int64
	// Checkpoints counts how often the log was copied into the file, CheckpointFailures how often that
	// failed.
	Checkpoints, CheckpointFailures int64
}

// Measured is a Store that has figures of its own.
type Measured interface {
	// Stats must be cheap: it asks no database.
	Stats() StoreStats
}

// Stats returns figures of the broker. It reads memory and, at most, the sizes of files.
func (b *Broker) Stats() Stats {
	s := Stats{
		Queues: map[string]QueueStats{
			"append": b.commits.queue.stats(), "move": b.moves.queue.stats(),
			"head": b.heads.queue.stats(), "consumer": b.consumers.queue.stats(),
		},
		Waiting:   b.waiters.stats(),
		TailBytes: b.topics.tailBytes.Load(),
		TailHits:  b.counters.tailHits.Load(), TailMisses: b.counters.tailMisses.Load(),
		Topics:           b.topics.size(),
		PendingPositions: len(b.positions.allPending()),
		Violations:       b.counters.violations.Load(),
		Resolved:         b.counters.resolved.Load(), Unresolved: b.counters.unresolved.Load(),
		QuotaRefusals: map[Quota]int64{},
	}
	for quota, n := range b.counters.quotas {
		s.QuotaRefusals[quota] = n.Load()
	}
	if b.measured != nil {
		s.Store = b.measured.Stats()
	}
	return s
}

// stats returns what is in the queue.
func (q *backlog) stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueStats{Requests: q.takenRequests, Bytes: q.takenBytes, Refused: q.refused}
}

// fromTail counts a read of messages by where it was answered from.
func (c *counters) fromTail(hit bool) {
	if hit {
		c.tailHits.Add(1)
		return
	}
	c.tailMisses.Add(1)
}

// ConsumerLag is how many messages a named consumer has not dequeued yet.
type ConsumerLag struct {
	Topic    TopicName
	Consumer string
	Lag      int64
}

// The most that Lags looks at for each consumer that it may return.
const (
	lagTopics = 10
	lagRows   = 10
)

// Lags returns the lag of at most so many named consumers, in the order of their topics' names, and
// whether these are all. It is for figures and bounded: at most ten times as many topics and
// consumers are looked at. Errors: unavailable.
func (b *Broker) Lags(ctx context.Context, most int) (lags []ConsumerLag, all bool, err error) {
	if err := b.enter(); err != nil {
		return nil, false, err
	}
	defer b.leave()
	names, err := b.store.ListTopics(ctx, "", "", most*lagTopics+1)
	if err != nil {
		return nil, false, err
	}
	all = len(names) <= most*lagTopics
	names = names[:min(len(names), most*lagTopics)]
	rows := most * lagRows
	for chunk := range slices.Chunk(names, 1000) {
		heads, err := b.store.Heads(ctx, chunk) // not readHeads: this is no use of them
		if err != nil {
			return nil, false, err
		}
		slices.SortFunc(heads, func(a, b Head) int { return cmp.Compare(a.Name, b.Name) })
		for _, head := range heads {
			if rows <= 0 || len(lags) > most {
				return lags[:min(len(lags), most)], false, nil
			}
			consumers, err := b.store.ListConsumers(ctx, head.ID, 0, rows)
			if err != nil {
				return nil, false, err
			}
			rows -= len(consumers) // none are left where there may be more of this topic
			lags = b.appendLags(lags, consumers, head)
		}
	}
	if len(lags) > most || rows <= 0 {
		all = false
	}
	return lags[:min(len(lags), most)], all, nil
}

func (b *Broker) appendLags(lags []ConsumerLag, consumers []Consumer, head Head) []ConsumerLag {
	for _, row := range consumers {
		if row.Name == "" {
			continue // there may be any number of them, and a name for each would never be used again
		}
		state := consumerState(b.positions.overlay(row), head)
		lags = append(lags, ConsumerLag{head.Name, row.Name, state.Lag})
	}
	return lags
}
