package sqlite

import (
	"context"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// SetQuota implements service.TopicStore.
func (s *Store) SetQuota(
	ctx context.Context, name service.TopicName, change service.QuotaChange,
) (service.Head, error) {
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) (err error) {
		if head, err = tx.own(ctx, name); err != nil {
			return err
		}
		head.Quota = change.Apply(head.Quota)
		return tx.setQuota(ctx, head.ID, head.Quota)
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

func (t *tx) setQuota(ctx context.Context, topic service.TopicID, quota service.TopicQuota) error {
	return affected(t.SetQuota(ctx, litesql.SetQuotaParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), QuotaRate: quota.BytesPerSecond, QuotaBytes: quota.StoredBytes,
		QuotaProducers: quota.Producers, QuotaConsumers: quota.Consumers,
	}))
}

// What follows counts, where there is a quota, and refuses one more where there is no room. There is one writer,
// so nothing is made between the count and what it is for.

func (t *tx) topicRoom(ctx context.Context, by service.Maker) error {
	return room(service.QuotaTokenTopics, by.Topics, func() (int64, error) {
		return t.CountTopicsOf(ctx, named(by.TokenID))
	})
}

func (t *tx) producerRoom(ctx context.Context, head service.Head, by service.Maker) error {
	err := room(service.QuotaTokenProducers, by.Producers, func() (int64, error) {
		return t.CountProducersOf(ctx, named(by.TokenID))
	})
	if err != nil {
		return err
	}
	return room(service.QuotaTopicProducers, head.Quota.Producers, func() (int64, error) {
		return t.CountProducers(ctx, litesql.CountProducersParams{Bucket: bucketOf(head.ID), TopicID: int64(head.ID)})
	})
}

func (t *tx) consumerRoom(ctx context.Context, head service.Head, by service.Maker) error {
	err := room(service.QuotaTokenConsumers, by.Consumers, func() (int64, error) {
		return t.CountConsumersOf(ctx, named(by.TokenID))
	})
	if err != nil {
		return err
	}
	return room(service.QuotaTopicConsumers, head.Quota.Consumers, func() (int64, error) {
		return t.CountConsumers(ctx, litesql.CountConsumersParams{Bucket: bucketOf(head.ID), TopicID: int64(head.ID)})
	})
}

func room(quota service.Quota, most int64, count func() (int64, error)) error {
	if most == 0 {
		return nil
	}
	there, err := count()
	if err != nil {
		return err
	}
	return service.CheckRoom(quota, there, most)
}
