package service

import (
	"context"
	"errors"
	"time"

	"github.com/topiq/topiq/fault"
)

// ConsumerState describes a consumer: its position with what is pending in this broker, and how
// many messages it has not dequeued yet.
type ConsumerState struct {
	Consumer
	Lag int64
}

// RegisterConsumer registers a consumer that begins at from, or finds the one that has the name
// already, where it is. Errors: invalid_request, topic_not_found, offset_trimmed,
// offset_out_of_range, rate_limited.
func (b *Broker) RegisterConsumer(ctx context.Context, topic TopicName, name string, from Start) (Consumer, Head, error) {
	if err := b.enter(); err != nil {
		return Consumer{}, Head{}, err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return Consumer{}, Head{}, err
	}
	if err := checkOptionalName("cons_name", name); err != nil {
		return Consumer{}, Head{}, err
	}
	if err := checkInteger("from", from, FromEnd); err != nil {
		return Consumer{}, Head{}, err
	}
	row, head, err := b.store.RegisterConsumer(ctx, ConsumerRegistration{
		Topic: topic, Name: name, From: from, At: b.now(), Maker: grantIn(ctx).maker(),
	})
	if err != nil {
		return Consumer{}, Head{}, b.counters.refusedByQuota(err)
	}
	return b.positions.overlay(row), head, nil
}

// UnregisterConsumer removes a consumer and its position. Errors: invalid_request,
// topic_not_found, consumer_not_found.
func (b *Broker) UnregisterConsumer(ctx context.Context, topic TopicName, id ConsumerID) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return err
	}
	if err := checkInteger("consumer_id", id, 1); err != nil {
		return err
	}
	if err := b.store.UnregisterConsumer(ctx, topic, id); err != nil {
		return err
	}
	b.positions.forget(id)
	return nil
}

// ConsumerState describes a consumer by id, or by name where id is 0. Errors: invalid_request,
// topic_not_found, consumer_not_found.
func (b *Broker) ConsumerState(ctx context.Context, topic TopicName, id ConsumerID, name string) (ConsumerState, error) {
	if err := b.enter(); err != nil {
		return ConsumerState{}, err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return ConsumerState{}, err
	}
	if (id == 0) == (name == "") {
		return ConsumerState{}, Invalid("consumer_id", "give either consumer_id or cons_name")
	}
	if err := checkOptionalName("cons_name", name); err != nil {
		return ConsumerState{}, err
	}
	head, err := b.readHead(ctx, topic)
	if err != nil {
		return ConsumerState{}, err
	}
	if name != "" {
		row, err := b.store.FindConsumer(ctx, head.ID, name)
		if err != nil {
			return ConsumerState{}, err
		}
		return consumerState(b.positions.overlay(row), head.Head), nil
	}
	if err := checkInteger("consumer_id", id, 1); err != nil {
		return ConsumerState{}, err
	}
	row, err := b.freshConsumer(ctx, head.ID, id)
	if err != nil {
		return ConsumerState{}, err
	}
	return consumerState(row, head.Head), nil
}

func consumerState(row Consumer, head Head) ConsumerState {
	return ConsumerState{Consumer: row, Lag: int64(max(0, head.Next-max(head.First, row.Offset)))}
}

// Size counts the messages a consumer has not dequeued yet. Errors as for ConsumerState.
func (b *Broker) Size(ctx context.Context, topic TopicName, id ConsumerID) (int64, error) {
	if err := checkInteger("consumer_id", id, 1); err != nil {
		return 0, err
	}
	state, err := b.ConsumerState(ctx, topic, id, "")
	if err == nil {
		b.used.consumer(id, time.Now())
	}
	return state.Lag, err
}

// ListConsumers lists the consumers of a topic by id, after after, at most limit (nil = the
// default). next is what to send as after for the rest, 0 when there is none.
func (b *Broker) ListConsumers(ctx context.Context, topic TopicName, after ConsumerID, limit *int) (list []ConsumerState, next ConsumerID, err error) {
	if err := b.enter(); err != nil {
		return nil, 0, err
	}
	defer b.leave()
	n, head, err := b.listOf(ctx, topic, int64(after), limit)
	if err != nil {
		return nil, 0, err
	}
	rows, err := b.store.ListConsumers(ctx, head.ID, after, n+1)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) > n {
		rows = rows[:n]
		next = rows[n-1].ID
	}
	list = make([]ConsumerState, len(rows))
	for i, row := range rows {
		list[i] = consumerState(b.positions.overlay(row), head)
	}
	return list, next, nil
}

// listOf checks the parameters of a list of a topic's clients.
func (b *Broker) listOf(ctx context.Context, topic TopicName, after int64, limit *int) (int, Head, error) {
	if err := CheckName("topic", topic); err != nil {
		return 0, Head{}, err
	}
	if err := checkOptional("after", &after, 0); err != nil {
		return 0, Head{}, err
	}
	n, err := b.limits.page(limit)
	if err != nil {
		return 0, Head{}, err
	}
	head, err := b.readHead(ctx, topic)
	return n, head.Head, err
}

// SetOffsetRequest asks to set a consumer's position.
type SetOffsetRequest struct {
	Consumer ConsumerID
	// Topic is optional; where it is given it must be the consumer's.
	Topic TopicName
	// Exactly one of Offset (−1 = the first that can be read) and Time (the first message stored
	// at or after it) is set.
	Offset *Offset
	Time   *time.Time
}

// SetOffset sets a consumer's position, also back, durably before it returns. Errors:
// invalid_request, topic_not_found, consumer_not_found, offset_trimmed, offset_out_of_range.
func (b *Broker) SetOffset(ctx context.Context, r SetOffsetRequest) (Consumer, error) {
	if err := b.enter(); err != nil {
		return Consumer{}, err
	}
	defer b.leave()
	if err := checkInteger("consumer_id", r.Consumer, 1); err != nil {
		return Consumer{}, err
	}
	if (r.Offset == nil) == (r.Time == nil) {
		return Consumer{}, Invalid("offset", "give either offset or time")
	}
	if err := checkOptional("offset", r.Offset, -1); err != nil {
		return Consumer{}, err
	}
	seek := SeekRequest{Consumer: r.Consumer}
	if r.Topic != "" {
		if err := CheckName("topic", r.Topic); err != nil {
			return Consumer{}, err
		}
		head, err := b.readHead(ctx, r.Topic)
		if err != nil {
			return Consumer{}, err
		}
		seek.Topic = head.ID
	}
	if r.Offset != nil {
		seek.Offset = *r.Offset
	} else {
		offset, err := b.timeOf(ctx, seek, *r.Time)
		if err != nil {
			return Consumer{}, err
		}
		seek.Offset = offset
	}
	at := time.Now()
	row, err := repeatChange(ctx, b, func(ctx context.Context) (Consumer, error) { return b.seek(ctx, seek) })
	if err != nil {
		b.positions.expire(r.Consumer)
		return Consumer{}, err
	}
	b.positions.learn(row, at)
	return row, nil
}

func (b *Broker) seek(ctx context.Context, r SeekRequest) (Consumer, error) {
	row, err := b.store.Seek(ctx, r, b.now())
	if lost := fault.Point("offset.after_commit"); lost != nil && err == nil {
		err = ErrOutcomeUnknown.Because(lost)
	}
	return row, err
}

// timeOf looks up the offset of a time in the topic of the consumer.
func (b *Broker) timeOf(ctx context.Context, seek SeekRequest, t time.Time) (Offset, error) {
	row, err := b.freshConsumer(ctx, seek.Topic, seek.Consumer)
	if err != nil {
		return 0, err
	}
	offset, err := b.store.FindTime(ctx, row.Topic, t)
	if errors.Is(err, ErrTopicNotFound) && seek.Topic == 0 {
		return 0, ErrConsumerNotFound
	}
	return offset, err
}
