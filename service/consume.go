package service

import (
	"context"
	"time"

	"github.com/topiq/topiq/fault"
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
// rate_limited, overloaded, unavailable, outcome_unknown (without Offset).
func (b *Broker) Consume(ctx context.Context, r ConsumeRequest) (ConsumeResult, error) {
	if err := b.enter(); err != nil {
		return ConsumeResult{}, err
	}
	defer b.leave()
	w, wait, err := b.checkConsume(&r)
	if err != nil {
		return ConsumeResult{}, err
	}
	pace, err := mayGive(ctx)
	if err != nil {
		return ConsumeResult{}, b.counters.refusedByQuota(err)
	}
	result, err := b.consume(ctx, &r, w, wait)
	pace.gave(result.Messages)
	return result, err
}

func (b *Broker) consume(ctx context.Context, r *ConsumeRequest, w window, wait time.Duration) (ConsumeResult, error) {
	if r.Offset != nil {
		result, err := b.consumeAt(ctx, r, w, wait)
		if err == nil {
			b.used.consumer(r.Consumer, time.Now())
		}
		return result, err
	}
	if r.Plain() {
		w.limit = 1
	}
	result, err := b.consumeNext(ctx, r, w, wait)
	if err == nil {
		b.used.consumer(r.Consumer, time.Now())
	}
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
	return b.limits.answer(r.Incarnation, r.Limit, r.MaxBytes, r.Wait)
}

// consumeAt is consume with an offset: "I have everything below; what comes next?".
func (b *Broker) consumeAt(ctx context.Context, r *ConsumeRequest, w window, wait time.Duration) (ConsumeResult, error) {
	if result, ok := b.consumeKnown(r, w); ok {
		return result, nil
	}
	v, err := b.look(ctx, r.Topic)
	if err != nil {
		return ConsumeResult{}, err
	}
	if err := b.commitOffset(ctx, &v, r); err != nil {
		v.release()
		return ConsumeResult{}, err
	}
	result := ConsumeResult{Offset: *r.Offset, Incarnation: v.head.Incarnation}
	messages, err := b.follow(ctx, &v, cursor{*r.Offset, w}, wait)
	switch CodeOf(err) {
	default:
	case CodeIncarnationChanged, CodeOffsetTrimmed, CodeOffsetOutOfRange:
		// It came to that while the call waited. But the offset is committed, and a refusal says
		// that nothing moved: the next call is refused.
		err = nil
	}
	result.Messages = messages
	result.Offset += Offset(len(messages))
	if fault.Mistake("consume_advances_at_read") {
		b.positions.commit(Consumer{ID: r.Consumer, Topic: v.id}, result.Offset, v.head.Incarnation)
	}
	return result, err
}

// consumeKnown answers from memory where that says nothing about the end of the topic (P12): the
// tail holds as much as was asked for, the incarnation was confirmed within the last second, and
// the consumer's position was read within it. Whatever is not as it should be is looked at by
// rows read after the call.
func (b *Broker) consumeKnown(r *ConsumeRequest, w window) (ConsumeResult, bool) {
	t := b.topics.use(r.Topic)
	if t == nil {
		return ConsumeResult{}, false
	}
	defer t.release()
	head, confirmedAt, _ := t.known()
	if time.Since(confirmedAt) > trusted || (r.Incarnation != "" && r.Incarnation != head.Incarnation) {
		return ConsumeResult{}, false
	}
	messages, full := t.read(head.Incarnation, *r.Offset, w)
	if !full || fault.Mistake("consume_advances_at_read") {
		return ConsumeResult{}, false
	}
	row, ok := b.positions.get(r.Consumer, time.Now())
	if !ok || row.Topic != t.id || b.positions.commit(row, *r.Offset, head.Incarnation) != *r.Offset {
		return ConsumeResult{}, false
	}
	b.counters.fromTail(true)
	return ConsumeResult{messages, *r.Offset + Offset(len(messages)), head.Incarnation}, true
}

// commitOffset commits the offset of a consume, or refuses it in the order of contract section 4:
// incarnation, consumer, trimmed, out of range, behind. The topic's head was read after the call;
// the consumer may be known from a moment ago, but only a row read after the call refuses (P12).
func (b *Broker) commitOffset(ctx context.Context, v *view, r *ConsumeRequest) error {
	if r.Incarnation != "" && r.Incarnation != v.head.Incarnation {
		return errIncarnation(v.head.Incarnation)
	}
	row, known := b.positions.get(r.Consumer, time.Now())
	if known && row.Topic == v.id && CheckOffset(*r.Offset, v.head) == nil &&
		b.positions.commit(row, *r.Offset, v.head.Incarnation) == *r.Offset {
		return nil
	}
	row, err := b.freshConsumer(ctx, v.id, r.Consumer)
	if err != nil {
		return err
	}
	if err := CheckOffset(*r.Offset, v.head); err != nil {
		return err
	}
	if committed := b.positions.commit(row, *r.Offset, v.head.Incarnation); committed > *r.Offset {
		return errOffsetBehind(committed)
	}
	return nil
}

// consumeNext is consume without an offset: dequeue, and wait for something to dequeue.
func (b *Broker) consumeNext(ctx context.Context, r *ConsumeRequest, w window, wait time.Duration) (ConsumeResult, error) {
	resolve := b.knownTopic
	for replaced := 0; replaced < resolveAttempts; {
		t, err := resolve(ctx, r.Topic)
		if err != nil {
			return ConsumeResult{}, err
		}
		_, _, advanced := t.known() // before looking: see view
		moved, err := b.move(ctx, t, r, w)
		if CodeOf(err) == CodeTopicNotFound {
			// The life of the topic known here has ended; there may be a new one.
			t.release()
			resolve = b.freshTopic
			replaced++
			continue
		}
		if err != nil || len(moved.Messages) > 0 {
			t.release()
			return ConsumeResult{moved.Messages, moved.Consumer.Offset, moved.Head.Incarnation}, err
		}
		left, err := b.sleep(ctx, &view{t, moved.Head, advanced}, wait)
		t.release()
		if err != nil || left <= 0 {
			return ConsumeResult{nil, moved.Consumer.Offset, moved.Head.Incarnation}, err
		}
		wait = left
	}
	return ConsumeResult{}, ErrTopicNotFound
}
