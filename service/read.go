package service

import (
	"context"
	"time"
)

// ReadRequest asks for messages of a topic. A pure read: nothing moves (P11).
type ReadRequest struct {
	Topic TopicName
	// Exactly one of Offset and Time (the first message stored at or after it) is set.
	Offset *Offset
	Time   *time.Time
	// The rest is optional: nil or "".
	Limit       *int
	MaxBytes    *int64
	Wait        *time.Duration
	Incarnation string
}

// ReadResult is the answer to a ReadRequest.
type ReadResult struct {
	Messages []Message
	// Next is the offset to ask for next; Head the topic as it was after the request arrived.
	Next Offset
	Head Head
}

// Read answers messages from an offset on; none at the end of the topic or at the end of Wait.
// Errors: invalid_request, topic_not_found, incarnation_changed, offset_trimmed,
// offset_out_of_range, rate_limited, overloaded, unavailable.
func (b *Broker) Read(ctx context.Context, r ReadRequest) (ReadResult, error) {
	if err := b.enter(); err != nil {
		return ReadResult{}, err
	}
	defer b.leave()
	w, wait, err := b.checkRead(&r)
	if err != nil {
		return ReadResult{}, err
	}
	pace, err := mayGive(ctx)
	if err != nil {
		return ReadResult{}, b.counters.refusedByQuota(err)
	}
	v, err := b.look(ctx, r.Topic)
	if err != nil {
		return ReadResult{}, err
	}
	if r.Incarnation != "" && r.Incarnation != v.head.Incarnation {
		v.release()
		return ReadResult{}, errIncarnation(v.head.Incarnation)
	}
	c := cursor{window: w}
	if r.Offset != nil {
		c.from = *r.Offset
	} else if c.from, err = b.store.FindTime(ctx, v.id, *r.Time); err != nil {
		v.release()
		return ReadResult{}, err
	}
	messages, err := b.follow(ctx, &v, c, wait)
	if err != nil {
		return ReadResult{}, err
	}
	pace.gave(messages)
	return ReadResult{Messages: messages, Next: c.from + Offset(len(messages)), Head: v.head}, nil
}

func (b *Broker) checkRead(r *ReadRequest) (window, time.Duration, error) {
	if err := CheckName("topic", r.Topic); err != nil {
		return window{}, 0, err
	}
	if (r.Offset == nil) == (r.Time == nil) {
		return window{}, 0, Invalid("offset", "give either offset or time")
	}
	if err := checkOptional("offset", r.Offset, 0); err != nil {
		return window{}, 0, err
	}
	return b.limits.answer(r.Incarnation, r.Limit, r.MaxBytes, r.Wait)
}

// cursor is a place in a topic, and how much to read there.
type cursor struct {
	from   Offset
	window window
}

// follow answers the messages at a cursor; where there are none yet it waits for them, and looks
// again, so that the view is of what it answers. It holds nothing of the store while it waits. It releases the view.
//
// The view is one for all calls below, not a copy in each: ten thousand clients may wait here, each on a stack.
func (b *Broker) follow(ctx context.Context, v *view, c cursor, wait time.Duration) ([]Message, error) {
	for {
		if err := CheckOffset(c.from, v.head); err != nil {
			// A time may have been looked up after the head was read: then the head is the older
			// of the two. One more look decides.
			fresh, again := b.readHead(ctx, v.name)
			if again != nil || fresh.Incarnation != v.head.Incarnation || CheckOffset(c.from, fresh.Head) != nil {
				v.release()
				return nil, err
			}
			v.head = fresh.Head
		}
		if c.from < v.head.Next {
			messages, err := b.fetch(ctx, v, c)
			v.release()
			return messages, err
		}
		left, err := b.sleep(ctx, v, wait)
		v.release()
		if err != nil || left <= 0 {
			return nil, err
		}
		wait = left
		if err := b.lookAgain(ctx, v); err != nil {
			return nil, err
		}
	}
}

// lookAgain makes a view that was released a new one of the same history.
func (b *Broker) lookAgain(ctx context.Context, v *view) error {
	next, err := b.look(ctx, v.name)
	if err != nil {
		return err
	}
	if next.head.Incarnation != v.head.Incarnation {
		next.release()
		return errIncarnation(next.head.Incarnation)
	}
	*v = next
	return nil
}

// fetch reads the messages at a cursor that the head says are there: from memory if the tail
// holds enough of them, else from the store.
func (b *Broker) fetch(ctx context.Context, v *view, c cursor) ([]Message, error) {
	// Memory may be ahead of the head by now: an answer must not go beyond the end it names.
	limit := min(c.window.limit, int(v.head.Next-c.from))
	if messages, full := v.read(v.head.Incarnation, c.from, window{limit, c.window.maxBytes}); full {
		b.counters.fromTail(true)
		return messages, nil
	}
	b.counters.fromTail(false)
	messages, err := b.store.Read(ctx, v.id, c.from, limit, c.window.maxBytes)
	if err == nil {
		err = CheckRun(messages, c.from, limit)
	}
	// Some engines look for holes themselves.
	if cause := contradiction(err); cause != nil {
		return nil, b.explainHole(ctx, v, c, cause)
	}
	if err != nil {
		return nil, err
	}
	return messages, nil
}

// explainHole finds out why a read did not give what the head promised. The topic may have been
// deleted or trimmed between the two; otherwise what is stored contradicts itself, and the topic
// is stopped rather than answered wrongly.
func (b *Broker) explainHole(ctx context.Context, v *view, c cursor, hole error) error {
	head, err := b.readHead(ctx, v.name)
	if err != nil {
		return err
	}
	if head.ID != v.id || head.Incarnation != v.head.Incarnation {
		return errIncarnation(head.Incarnation)
	}
	if err := CheckOffset(c.from, head.Head); err != nil {
		return err
	}
	return b.stopTopic(ctx, v.topic, hole)
}

// sleep waits until there is news of a topic, for at most wait, and returns what is left of it: 0
// also when the broker is closing, for then nobody should wait any longer.
func (b *Broker) sleep(ctx context.Context, v *view, wait time.Duration) (left time.Duration, err error) {
	if wait <= 0 {
		return 0, nil
	}
	if !b.waiters.take(0) {
		return 0, ErrOverloaded
	}
	defer b.waiters.give(0)
	return b.doze(ctx, v, wait)
}

// doze is sleep for who has a place among those who wait.
func (b *Broker) doze(ctx context.Context, v *view, wait time.Duration) (left time.Duration, err error) {
	if wait <= 0 {
		return 0, nil
	}
	b.topics.waiting(v.name, 1)
	defer b.topics.waiting(v.name, -1)
	began := time.Now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-v.advanced:
		return wait - time.Since(began), nil
	case <-timer.C:
		return 0, nil
	case <-b.closing:
		return 0, nil
	case <-ctx.Done():
		return 0, ErrUnavailable.Because(context.Cause(ctx))
	}
}
