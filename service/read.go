package service

import (
	"context"
	"fmt"
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
// offset_out_of_range, overloaded, unavailable.
func (b *Broker) Read(ctx context.Context, r ReadRequest) (ReadResult, error) {
	w, wait, err := b.checkRead(&r)
	if err != nil {
		return ReadResult{}, err
	}
	t, err := b.endTopic(ctx, r.Topic)
	if err != nil {
		return ReadResult{}, err
	}
	defer t.release()
	head, _, _ := t.snapshot()
	if r.Incarnation != "" && r.Incarnation != head.Incarnation {
		return ReadResult{}, errIncarnation(head.Incarnation)
	}
	var from Offset
	if r.Time != nil {
		if from, err = b.store.FindTime(ctx, t.id, *r.Time); err != nil {
			return ReadResult{}, err
		}
	} else {
		from = *r.Offset
	}
	cursor := cursor{topic: t, incarnation: head.Incarnation, from: from, window: w}
	messages, head, err := b.follow(ctx, cursor, wait)
	if err != nil {
		return ReadResult{}, err
	}
	return ReadResult{Messages: messages, Next: from + Offset(len(messages)), Head: head}, nil
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
	if err := checkToken("incarnation", r.Incarnation); err != nil {
		return window{}, 0, err
	}
	w, err := b.limits.window(r.Limit, r.MaxBytes)
	if err != nil {
		return window{}, 0, err
	}
	wait, err := b.limits.wait(r.Wait)
	return w, wait, err
}

// endTopic returns a topic whose head is as of now or later (P12). The caller releases it.
func (b *Broker) endTopic(ctx context.Context, name TopicName) (*topic, error) {
	if !b.props.Shared {
		if t := b.topics.use(name); t != nil {
			if _, certain := t.certain(); certain && t.faulty() == nil {
				return t, nil
			}
			t.release()
		}
	}
	return b.freshTopic(ctx, name)
}

// cursor is a place in one life of a topic, and how much to read there.
type cursor struct {
	topic       *topic
	incarnation string
	from        Offset
	window      window
}

// follow answers the messages at a cursor, with a head read after the call; where there are none
// yet it waits for them. It holds nothing of the store while it waits.
func (b *Broker) follow(ctx context.Context, c cursor, wait time.Duration) ([]Message, Head, error) {
	for {
		// Whoever commits after this line closes advanced; whoever committed before it is seen by
		// the read below. So no message can slip between looking and sleeping.
		_, _, advanced := c.topic.snapshot()
		head, err := b.headOf(ctx, c)
		if err != nil {
			return nil, Head{}, err
		}
		if err := CheckOffset(c.from, head); err != nil {
			return nil, Head{}, err
		}
		if c.from < head.Next {
			messages, err := b.fetch(ctx, c, head)
			return messages, head, err
		}
		if wait <= 0 {
			return nil, head, nil
		}
		began := time.Now()
		if err := b.waitFor(ctx, c.topic, advanced, wait); err != nil {
			return nil, Head{}, err
		}
		wait -= time.Since(began)
	}
}

// headOf reads the head of the life of a topic that a cursor is in. topic_not_found when it is
// gone, incarnation_changed when it is another one now.
func (b *Broker) headOf(ctx context.Context, c cursor) (Head, error) {
	head, err := b.freshHead(ctx, c.topic.name)
	if err != nil {
		return Head{}, err
	}
	if head.Incarnation != c.incarnation {
		return Head{}, errIncarnation(head.Incarnation)
	}
	return head, nil
}

// fetch reads the messages at a cursor that head says are there: from memory if the tail holds
// enough of them, else from the store.
func (b *Broker) fetch(ctx context.Context, c cursor, head Head) ([]Message, error) {
	messages, full := c.topic.read(c.incarnation, c.from, c.window)
	if full || (len(messages) > 0 && c.from+Offset(len(messages)) >= head.Next) {
		return messages, nil
	}
	limit := min(c.window.limit, int(head.Next-c.from))
	messages, err := b.store.Read(ctx, head.ID, c.from, limit, c.window.maxBytes)
	if err != nil {
		return nil, err
	}
	if err := CheckRun(messages, c.from, limit); err != nil {
		return nil, b.explainHole(ctx, c, err)
	}
	return messages, nil
}

// explainHole finds out why a read did not give what the head promised. The topic may have been
// deleted or trimmed between the two; otherwise what is stored contradicts itself, and the topic
// is stopped rather than answered wrongly.
func (b *Broker) explainHole(ctx context.Context, c cursor, hole error) error {
	head, err := b.readHead(ctx, c.topic.name)
	if err != nil {
		return err
	}
	if head.ID != c.topic.id || head.Incarnation != c.incarnation {
		return errIncarnation(head.Incarnation)
	}
	if err := CheckOffset(c.from, head); err != nil {
		return err
	}
	b.log.ErrorContext(ctx, "a read contradicts the head; the topic is stopped",
		"topic", head.Name, "from", int64(c.from), "next", int64(head.Next), "error", hole)
	return c.topic.stopFor(fmt.Errorf("next is %d: %w", head.Next, hole))
}

// waitFor waits until a topic has advanced, or for at most wait.
func (b *Broker) waitFor(ctx context.Context, t *topic, advanced <-chan struct{}, wait time.Duration) error {
	if !b.waiters.take(0) {
		return ErrOverloaded
	}
	defer b.waiters.give(0)
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-advanced:
	case <-timer.C:
	case <-b.closing:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
