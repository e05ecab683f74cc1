package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Broker is the message log. Its methods are safe for concurrent use.
type Broker struct {
	store  Store
	props  Properties
	config Config
	limits *Limits
	log    *slog.Logger

	topics    *topicCache
	positions *positionCache
	waiters   *quota

	commits   *lanes[produceJob, AppendResult]
	moves     *lanes[moveJob, MoveResult]
	heads     *lanes[TopicName, Head]
	consumers *lanes[ConsumerID, Consumer]

	closing    chan struct{} // closed when Close begins: long polls end
	closeOnce  sync.Once
	stop       context.CancelFunc // ends the background loops
	background sync.WaitGroup
	sweep      chan struct{} // asks the sweeper to look now
}

// errClosed is what a broker answers that is shutting down.
var errClosed = &Error{Code: CodeUnavailable, Message: "the broker is shutting down"}

// NewBroker starts a broker on a store, which it owns from then on: Close closes it.
func NewBroker(store Store, config Config) *Broker {
	config = config.withDefaults()
	props := store.Properties()
	b := &Broker{
		store: store, props: props, config: config, limits: &config.Limits, log: config.Logger,
		topics:    newTopicCache(config.CachedTopics, config.Limits.TailBytes),
		positions: newPositionCache(config.CachedConsumers),
		waiters:   &quota{requests: config.Limits.Waiters},
		closing:   make(chan struct{}),
		sweep:     make(chan struct{}, 1),
	}
	queue := func() *quota {
		return &quota{requests: config.Limits.QueueRequests, bytes: config.Limits.QueueBytes}
	}
	b.commits = newLanes(props.Lanes, queue(), b.commitGroup)
	b.moves = newLanes(props.Lanes, queue(), b.moveGroup)
	readers := min(props.Lanes, 4)
	b.heads = newLanes(readers, queue(), b.readHeads)
	b.consumers = newLanes(readers, queue(), b.readConsumers)

	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.background.Go(func() { b.every(ctx, config.FlushInterval, b.flushPositions) })
	b.background.Go(func() { b.every(ctx, time.Second, b.evict) })
	b.background.Go(func() { b.sweepLoop(ctx) })
	if props.Shared {
		b.background.Go(func() { b.every(ctx, config.PollInterval, b.pollHeads) })
	}
	return b
}

// Close refuses new work, finishes what is queued, flushes positions and closes the store. When
// ctx ends first, what was not finished has an unknown outcome; the store is closed all the same.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() { close(b.closing) })
	err := errors.Join(b.commits.close(ctx), b.moves.close(ctx), b.heads.close(ctx), b.consumers.close(ctx))
	b.stop()
	err = errors.Join(err, waitFor(ctx, &b.background))
	b.flushPositions(ctx)
	if n := b.positions.pendingCount(); n > 0 {
		b.log.WarnContext(ctx, "positions not flushed; their consumers hold the truth", "consumers", n)
	}
	return errors.Join(err, b.store.Close())
}

// Properties returns what the store is.
func (b *Broker) Properties() Properties { return b.props }

// Limits returns the limits in force.
func (b *Broker) Limits() Limits { return *b.limits }

// Ready answers nil when the store can be read and written and no topic is stopped.
func (b *Broker) Ready(ctx context.Context) error {
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
func repeatable(err error) bool { return errors.Is(err, ErrUnavailable) }
