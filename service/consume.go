package service

import (
	"context"
	"errors"
	"time"
)

// ConsumeRequest asks for the next messages of a consumer (contract section 4).
type ConsumeRequest struct {
	Topic    TopicName
	Consumer ConsumerID
	// The rest is optional: nil or "". Without Offset, Limit, MaxBytes and Wait it is a plain
	// consume: one message, or no_message.
	Offset      *Offset
	Limit       *int
	MaxBytes    *int64
	Wait        *time.Duration
	Incarnation string
}

// Plain reports whether none of offset, limit, max_bytes and wait was given.
func (r *ConsumeRequest) Plain() bool {
	return r.Offset == nil && r.Limit == nil && r.MaxBytes == nil && r.Wait == nil
}

// ConsumeResult is the answer to a ConsumeRequest.
type ConsumeResult struct {
	Messages []Message
	// Offset is what to send next time: how many messages the consumer has dequeued.
	Offset      Offset
	Incarnation string
}

// Consume answers the next messages of a consumer. With Offset nothing but the commit of Offset
// moves, and it may be repeated blindly; without, the consumer moves by what is answered, durably,
// before the answer. Errors: invalid_request, topic_not_found, incarnation_changed,
// consumer_not_found, offset_trimmed, offset_out_of_range, offset_behind, no_message (plain only),
// overloaded, unavailable, outcome_unknown (without Offset).
func (b *Broker) Consume(ctx context.Context, r ConsumeRequest) (ConsumeResult, error) {
	w, wait, err := b.checkConsume(&r)
	if err != nil {
		return ConsumeResult{}, err
	}
	if r.Offset != nil {
		return b.consumeAt(ctx, &r, w, wait)
	}
	if r.Plain() {
		w.limit = 1
	}
	result, err := b.consumeNext(ctx, &r, w, wait)
	if err == nil && r.Plain() && len(result.Messages) == 0 {
		return ConsumeResult{}, ErrNoMessage
	}
	return result, err
}

func (b *Broker) checkConsume(r *ConsumeRequest) (window, time.Duration, error) {
	if err := CheckName("topic", r.Topic); err != nil {
		return window{}, 0, err
	}
	if err := checkInteger("consumer_id", r.Consumer, 1); err != nil {
		return window{}, 0, err
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

// consumeAt is consume with an offset: "I have everything below; what comes next?"
func (b *Broker) consumeAt(ctx context.Context, r *ConsumeRequest, w window, wait time.Duration) (ConsumeResult, error) {
	t, err := b.admitConsume(ctx, r)
	if err != nil {
		return ConsumeResult{}, err
	}
	defer t.release()
	head, _, _ := t.snapshot()
	c := cursor{topic: t, incarnation: head.Incarnation, from: *r.Offset, window: w}
	result := ConsumeResult{Offset: c.from, Incarnation: c.incarnation}
	// Where memory holds as much as was asked for, nothing is said about the end of the topic,
	// and the store need not be asked (P12).
	messages, full := t.read(c.incarnation, c.from, w)
	if !full {
		if messages, _, err = b.follow(ctx, c, wait); err != nil {
			return ConsumeResult{}, err
		}
	}
	result.Messages = messages
	result.Offset += Offset(len(messages))
	return result, nil
}

// admitConsume finds the topic of a consume with an offset and commits the offset, or refuses in
// the order of contract section 4: topic, incarnation, consumer, trimmed, out of range, behind.
// What is known from a moment ago may admit; only what is read after the call may refuse (P12).
func (b *Broker) admitConsume(ctx context.Context, r *ConsumeRequest) (*topic, error) {
	t, err := b.trustedTopic(ctx, r.Topic)
	if err != nil {
		return nil, err
	}
	if b.commitKnown(t, r) {
		return t, nil
	}
	t.release()
	if t, err = b.endTopic(ctx, r.Topic); err != nil {
		return nil, err
	}
	if err := b.commitFresh(ctx, t, r); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

// commitKnown commits if everything known allows it.
func (b *Broker) commitKnown(t *topic, r *ConsumeRequest) bool {
	head, _, _ := t.snapshot()
	if r.Incarnation != "" && r.Incarnation != head.Incarnation || CheckOffset(*r.Offset, head) != nil {
		return false
	}
	row, ok := b.positions.get(r.Consumer, time.Now())
	return ok && row.Topic == t.id && b.positions.commit(row, *r.Offset) == *r.Offset
}

// commitFresh commits, or refuses, on rows read after the call.
func (b *Broker) commitFresh(ctx context.Context, t *topic, r *ConsumeRequest) error {
	head, _, _ := t.snapshot()
	if r.Incarnation != "" && r.Incarnation != head.Incarnation {
		return errIncarnation(head.Incarnation)
	}
	row, err := b.freshConsumer(ctx, t.id, r.Consumer)
	if err != nil {
		return err
	}
	if err := CheckOffset(*r.Offset, head); err != nil {
		return err
	}
	if committed := b.positions.commit(row, *r.Offset); committed > *r.Offset {
		return errOffsetBehind(committed)
	}
	return nil
}

// consumeNext is consume without an offset: dequeue, and wait for something to dequeue.
func (b *Broker) consumeNext(ctx context.Context, r *ConsumeRequest, w window, wait time.Duration) (ConsumeResult, error) {
	resolve := b.knownTopic
	for {
		t, err := resolve(ctx, r.Topic)
		if err != nil {
			return ConsumeResult{}, err
		}
		_, _, advanced := t.snapshot() // before looking: see follow
		moved, err := b.move(ctx, t, r, w)
		if errors.Is(err, ErrTopicNotFound) {
			// The life of the topic known here has ended; there may be a new one.
			t.release()
			resolve = b.freshTopic
			continue
		}
		if err != nil || len(moved.Messages) > 0 || wait <= 0 {
			t.release()
			return ConsumeResult{moved.Messages, moved.Consumer.Offset, moved.Head.Incarnation}, err
		}
		began := time.Now()
		err = b.waitFor(ctx, t, advanced, wait)
		t.release()
		if err != nil {
			return ConsumeResult{}, err
		}
		wait -= time.Since(began)
	}
}
