package service

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/topiq/topiq/fault"
)

// Broker is the message log. Its methods are safe for concurrent use.
type Broker struct {
	store Store
	// measured is the store where it has figures of its own, else nil.
	measured Measured
	props    Properties
	config   Config
	limits   *Limits
	log      *slog.Logger

	topics    *topicCache
	positions *positionCache
	waiters   *backlog
	tokens    *tokenCache
	streaming *semaphore.Weighted // what streams were given, in bytes

	commits   *lanes[produceJob, AppendResult]
	moves     *lanes[moveJob, MoveResult]
	heads     *lanes[TopicName, headRead]
	consumers *lanes[ConsumerID, Consumer]

	entry      sync.RWMutex // held for reading while a call comes in, for writing by Close
	calls      sync.WaitGroup
	closing    chan struct{}      // closed when Close begins: long polls and streams end, calls are refused
	onClosing  closingHook        // tells callers of it
	stop       context.CancelFunc // ends the background loops, and the resolving of unknown outcomes
	background sync.WaitGroup
	sweep      chan struct{} // asks the sweeper to look now
	counters   counters
	used       *usage // nil where nothing is ever forgotten
}

// errClosed is what a broker answers that is shutting down.
var errClosed = &Error{Code: CodeUnavailable, Message: "the broker is shutting down"}

// NewBroker starts a broker on a store, which it owns from then on: Close closes it.
func NewBroker(store Store, config Config) *Broker {
	config = config.withDefaults()
	props := store.Properties()
	positions := newPositionCache(config.CachedConsumers)
	b := &Broker{
		props: props, config: config, limits: &config.Limits, log: config.Logger,
		topics:    newTopicCache(config.CachedTopics, config.Limits.TailBytes, positions.forgetTopic),
		positions: positions,
		waiters:   &backlog{requests: config.Limits.Waiters},
		closing:   make(chan struct{}),
		onClosing: newClosingHook(),
		sweep:     make(chan struct{}, 1),
		counters:  counters{quotas: quotaCounts()},
		used:      newUsage(config.ForgetUnusedAfter, config.CachedConsumers),
	}
	b.measured, _ = store.(Measured)
	b.store = &recognizing{Store: store, newToken: config.NewToken, renewed: b.renewed}
	b.tokens = &tokenCache{load: b.loadTokens}
	b.streaming = semaphore.NewWeighted(config.Limits.StreamBytes)
	queue := func(requests int) *backlog {
		return &backlog{requests: requests, bytes: config.Limits.QueueBytes}
	}
	writes := config.Limits.QueueRequests
	reads := writes + config.Limits.Waiters // all who wait may wake at once
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.commits = newLanes(props.Lanes, queue(writes), func(_ int, group produceJobs) { b.commitGroup(ctx, group) })
	b.commits.groupBytes = cmp.Or(props.GroupBytes, b.commits.groupBytes)
	b.moves = newLanes(props.Lanes, queue(writes), b.moveGroup)
	b.heads = newLanes(min(props.Lanes, 4), queue(reads), b.readHeads)
	b.consumers = newLanes(min(props.Lanes, 4), queue(reads), b.readConsumers)

	b.background.Go(func() { b.every(ctx, config.FlushInterval, b.flushPositions) })
	b.background.Go(func() { b.every(ctx, time.Second, b.evict) })
	b.background.Go(func() { b.sweepLoop(ctx) })
	b.background.Go(func() { b.retentionLoop(ctx) })
	b.background.Go(func() { b.unusedLoop(ctx) })
	if props.Shared && !fault.Mistake("notify_only") {
		polls := &headPolls{}
		b.background.Go(func() {
			b.every(ctx, config.PollInterval, func(ctx context.Context) { b.pollHeads(ctx, polls) })
		})
		b.background.Go(func() { b.store.Watch(ctx, b.hint) })
	}
	return b
}

// Close refuses new calls, ends long polls and streams, finishes what is queued, flushes positions and closes
// the store. When ctx ends first, what was not finished has an unknown outcome; the store is closed
// all the same. Close may be called once.
func (b *Broker) Close(ctx context.Context) error {
	b.entry.Lock()
	close(b.closing)
	b.entry.Unlock()
	b.onClosing.announce()
	err := errors.Join(
		fault.Point("shutdown.draining"),
		waitFor(ctx, &b.calls),
		b.commits.close(ctx), b.moves.close(ctx), b.heads.close(ctx), b.consumers.close(ctx),
	)
	b.stop()
	err = errors.Join(err, waitFor(ctx, &b.background))
	b.flushPositions(ctx)
	if n := len(b.positions.allPending()); n > 0 {
		b.log.WarnContext(ctx, "positions not flushed; their consumers hold the truth", "consumers", n)
	}
	return errors.Join(err, b.store.Close())
}

// enter lets a call in, or refuses it because the broker is closing. A call that was let in
// leaves, and Close waits for it.
func (b *Broker) enter() error {
	b.entry.RLock()
	defer b.entry.RUnlock()
	select {
	case <-b.closing:
		return errClosed
	default:
		b.calls.Add(1)
		return nil
	}
}

func (b *Broker) leave() { b.calls.Done() }

func (b *Broker) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// closingHook calls functions when the broker begins to close.
type closingHook struct {
	announce context.CancelFunc
	after    func(f func()) (stop func() bool)
}

func newClosingHook() closingHook {
	ctx, announce := context.WithCancel(context.Background())
	return closingHook{announce, func(f func()) func() bool { return context.AfterFunc(ctx, f) }}
}

// WhenClosing calls f, on a goroutine of its own, when Close begins, or at once if it has. Until then
// nothing of it runs. stop takes that back, and reports whether it came in time: otherwise f was
// called, and may not have returned. It is for those who wait for something else than the broker.
func (b *Broker) WhenClosing(f func()) (stop func() bool) { return b.onClosing.after(f) }

// renewed tells the operator of a topic that was given a new incarnation here (P13).
func (b *Broker) renewed(ctx context.Context, head Head) {
	b.log.WarnContext(ctx, "the topic was last appended to under another database, restored or failed over; "+
		"it has a new incarnation", "topic", head.Name, "incarnation", head.Incarnation, "next_offset", int64(head.Next))
}

// Properties returns what the store is.
func (b *Broker) Properties() Properties { return b.props }

// Limits returns the limits in force.
func (b *Broker) Limits() Limits { return *b.limits }

// Ready answers nil when the store can be read and written and no topic is stopped.
func (b *Broker) Ready(ctx context.Context) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := b.store.Ping(ctx); err != nil {
		return err
	}
	return b.topics.stopped()
}

// every runs do again and again until ctx ends. do gets a context that outlives ctx, so that a
// write under way is not cut off by a shutdown.
func (b *Broker) every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do(context.WithoutCancel(ctx))
		}
	}
}

// repeatable says that nothing was committed and the same call may succeed.
func repeatable(err error) bool { return CodeOf(err) == CodeUnavailable }
