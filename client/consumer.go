package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxTogether bounds the requests that one call of a consumer makes for its topics at the same time, polls
// excepted.
const maxTogether = 16

// Consumer gets the messages of one or several topics: each topic's in the order of their offsets, without
// a gap. There are three ways to read, which must not overlap ([ErrBusy]): [Consumer.Poll],
// [Consumer.Messages] and [Consumer.Run].
//
// Each topic is polled by POST with the offset that the consumer holds, which moves nothing (P11) and may be
// repeated; so after a passing failure the consumer goes on where it was, and no message is skipped or
// handed out twice. The next poll of a topic also tells the broker the new position, which the broker may
// write up to a second later; [Consumer.Commit] makes it durable at once.
//
// With the option [Stream], messages come by a stream in place of polls; all of this holds then as well.
//
// What lasts ends the consumer, with an error that names the topic: [ErrIncarnationChanged] (P13),
// [ErrOffsetTrimmed], [ErrOffsetOutOfRange] (P11), [ErrOffsetBehind] (somebody else uses the same name, and
// is further on), [ErrTopicNotFound], [ErrConsumerNotFound], and any other refusal. Every later call returns
// it again. After the middle three, [Consumer.Seek] sets the topic to another position and the consumer goes on.
//
// After a crash a named consumer goes on at its last committed position, and may see messages again that
// came after it. To have the effect of each message exactly once, store the [Position] together with the
// effect and start with [Offsets].
type Consumer struct {
	client *Client
	cfg    consumerConfig
	subs   []*subscription

	answered chan struct{} // holds at most one wake-up for Poll
	closing  chan struct{} // closed by Close
	polls    sync.WaitGroup

	mu      sync.Mutex
	busy    bool          // Poll, Messages, Run or Seek is under way
	free    chan struct{} // closed when it ends
	closed  bool
	since   time.Time // when the wait for a message began; zero after a message
	turn    int       // the topic that Messages looks at first
	stopped chan struct{}
}

// Consumer registers a consumer for each of the topics, which must exist. Close it in the end. ctx bounds
// only this call.
//
// Errors: [ErrTopicNotFound]; [ErrIncarnationChanged] if a position of Offsets belongs to another history;
// [ErrOffsetTrimmed] and [ErrOffsetOutOfRange] if a position of From or Offsets is outside its topic;
// [ErrInvalidRequest] for a name or an option that cannot work. Without a [Name], the register is repeated
// only if it certainly had no effect, otherwise the error is also [ErrOutcomeUnknown].
func (c *Client) Consumer(ctx context.Context, topics []string, opts ...ConsumerOption) (*Consumer, error) {
	cfg, err := newConsumerConfig(topics, opts)
	if err != nil {
		return nil, err
	}
	s := &Consumer{
		client: c, cfg: cfg,
		answered: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	for _, topic := range topics {
		sub := &subscription{client: c, cfg: &s.cfg, topic: topic, moving: make(chan struct{}, 1)}
		if cfg.stream {
			sub.feed = &feed{client: c, topic: topic, limit: cfg.maxMessages, maxBytes: cfg.maxBytes}
		}
		s.subs = append(s.subs, sub)
	}
	err = s.each(func(sub *subscription) error { return sub.named(sub.register(ctx)) })
	if err == nil {
		err = c.track(s)
	}
	if err != nil {
		if cfg.name == "" {
			_ = s.each(func(sub *subscription) error { return sub.unregister(ctx) })
		}
		return nil, err
	}
	return s, nil
}

// each calls f for all topics, several at a time, and joins their errors.
func (s *Consumer) each(f func(*subscription) error) error {
	errs := make([]error, len(s.subs))
	slots := make(chan struct{}, maxTogether)
	var group sync.WaitGroup
	for i, sub := range s.subs {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(sub)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// begin takes the consumer for one call.
func (s *Consumer) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.busy {
		return ErrBusy
	}
	s.busy, s.free = true, make(chan struct{})
	return nil
}

func (s *Consumer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	close(s.free)
}

// Close ends the consumer. A Poll, Messages or Run that is under way returns [ErrClosed]; Close waits for it,
// so do not call Close from inside a handler. A named consumer then tells the broker its final position: that
// of the messages that count as processed, see Poll, Messages and Run. It is sent so that the position never
// goes back, also if another consumer of the same name took over. A consumer without a name is unregistered.
// Calling Close again only waits for the first call, as long as ctx allows.
//
// Errors: that of ctx, and those of the requests; the consumer is closed in any case.
func (s *Consumer) Close(ctx context.Context) error {
	if !s.shut() {
		select {
		case <-s.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.client.untrack(s)
	defer close(s.stopped)
	err := s.halt(ctx)
	return errors.Join(err, s.each(func(sub *subscription) error {
		if s.cfg.name == "" {
			return sub.named(sub.unregister(ctx))
		}
		return sub.commit(ctx, false)
	}))
}

// shut lets nothing more begin, and reports whether this is the first time.
func (s *Consumer) shut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.closed
	if first {
		s.closed = true
		close(s.closing)
	}
	return first
}

// halt waits until the call under way and the polls have ended.
func (s *Consumer) halt(ctx context.Context) error {
	s.haltPolls()
	s.mu.Lock()
	busy, free := s.busy, s.free
	s.mu.Unlock()
	if !busy {
		return nil
	}
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Consumer) haltPolls() {
	for _, sub := range s.subs {
		sub.halt()
	}
	s.polls.Wait()
	for _, sub := range s.subs {
		sub.feed.close()
	}
}

// abandon ends the consumer as if the process had died. It does not wait for a Close under way, which may be
// waiting for a handler.
func (s *Consumer) abandon() {
	first := s.shut()
	s.haltPolls()
	if first {
		close(s.stopped)
	}
}

// find returns the subscription of a topic.
func (s *Consumer) find(topic string) (*subscription, error) {
	for _, sub := range s.subs {
		if sub.topic == topic {
			return sub, nil
		}
	}
	return nil, invalid("topic", "%s is not a topic of this consumer", topic)
}
