package service

import "context"

// RegisterProducer registers a producer on a topic, creating the topic when it is missing (P2).
// With a name it opens a session: Epoch grows by one, and earlier sessions are fenced. With an
// instance it may be repeated blindly, and is, while its outcome is unknown (P9). Errors: invalid_request, producer_fenced (a late copy of
// an earlier register), rate_limited.
func (b *Broker) RegisterProducer(ctx context.Context, topic TopicName, name, instance string) (Producer, Head, error) {
	if err := b.enter(); err != nil {
		return Producer{}, Head{}, err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return Producer{}, Head{}, err
	}
	if err := checkOptionalName("prod_name", name); err != nil {
		return Producer{}, Head{}, err
	}
	if err := checkToken("instance", instance); err != nil {
		return Producer{}, Head{}, err
	}
	if instance != "" && name == "" {
		return Producer{}, Head{}, Invalid("instance", "belongs to a named producer: send prod_name too")
	}
	registration := ProducerRegistration{Topic: b.newTopic(ctx, topic), Name: name, Instance: instance}
	if instance == "" { // not repeated, see repeat
		row, head, err := b.store.RegisterProducer(ctx, registration)
		return row, head, b.counters.refusedByQuota(err)
	}
	var head Head
	row, err := repeatChange(ctx, b, func(ctx context.Context) (row Producer, err error) {
		row, head, err = b.store.RegisterProducer(ctx, registration)
		return row, err
	})
	if err != nil {
		return Producer{}, Head{}, b.counters.refusedByQuota(err)
	}
	return row, head, nil
}

// UnregisterProducer ends the session of a named producer, whose sequence is never forgotten, or
// removes an anonymous one. Errors: invalid_request, topic_not_found, producer_not_found.
func (b *Broker) UnregisterProducer(ctx context.Context, topic TopicName, id ProducerID) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return err
	}
	if err := checkInteger("producer_id", id, 1); err != nil {
		return err
	}
	return b.store.UnregisterProducer(ctx, topic, id)
}

// ProducerState describes a named producer. The answer rests on a transaction that commits, for a
// client forgets messages on the strength of it (P2). Errors: invalid_request, topic_not_found,
// producer_not_found.
func (b *Broker) ProducerState(ctx context.Context, topic TopicName, name string) (Producer, error) {
	if err := b.enter(); err != nil {
		return Producer{}, err
	}
	defer b.leave()
	if err := CheckName("topic", topic); err != nil {
		return Producer{}, err
	}
	if err := CheckName("prod_name", name); err != nil {
		return Producer{}, err
	}
	return repeat(ctx, b, func(ctx context.Context) (Producer, error) { return b.store.Producer(ctx, topic, name) })
}

// ListProducers lists the registered producers of a topic by id, after after, at most limit (nil
// = the default). next is what to send as after for the rest, 0 when there is none.
func (b *Broker) ListProducers(ctx context.Context, topic TopicName, after ProducerID, limit *int) (list []Producer, next ProducerID, err error) {
	if err := b.enter(); err != nil {
		return nil, 0, err
	}
	defer b.leave()
	n, head, err := b.listOf(ctx, topic, int64(after), limit)
	if err != nil {
		return nil, 0, err
	}
	list, err = b.store.ListProducers(ctx, head.ID, after, n+1)
	if err != nil {
		return nil, 0, err
	}
	if len(list) > n {
		list = list[:n]
		next = list[n-1].ID
	}
	return list, next, nil
}

// CountProduced counts the messages ever stored under a name in the topics that exist, or in one
// of them, trimmed ones included. Errors: invalid_request, topic_not_found.
func (b *Broker) CountProduced(ctx context.Context, name string, topic TopicName) (int64, error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	if err := CheckName("prod_name", name); err != nil {
		return 0, err
	}
	if topic != "" {
		if err := CheckName("topic", topic); err != nil {
			return 0, err
		}
	}
	return b.store.CountProduced(ctx, name, topic)
}
