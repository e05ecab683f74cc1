package postgres

import (
	"context"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// SetQuota implements service.TopicStore.
func (s *Store) SetQuota(
	ctx context.Context, name service.TopicName, change service.QuotaChange,
) (service.Head, error) {
	var head service.Head
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		var err error
		if head, err = s.lockOwnHead(ctx, u, name); err != nil {
			return err
		}
		head.Quota = change.Apply(head.Quota)
		return u.run(ctx, writeQuota(head.ID, head.Quota))
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

func writeQuota(topic service.TopicID, quota service.TopicQuota) step {
	return exactly(1, "set a quota", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.SetQuota(ctx, pgsql.SetQuotaParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), QuotaRate: quota.BytesPerSecond, QuotaBytes: quota.StoredBytes,
			QuotaProducers: quota.Producers, QuotaConsumers: quota.Consumers,
		})
	})
}

// lockMaker lets nobody else make what is counted for a token, by any broker, until the unit ends: what is counted
// under the lock cannot grow. It is the first lock of a unit; whoever holds one on a head waits for none on a token.
func lockMaker(ctx context.Context, u *unit, by service.Maker) error {
	if !by.Counted() {
		return nil
	}
	return u.run(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		_, err := q.LockToken(ctx, pgsql.LockTokenParams{Bucket: tokenBucket(by.TokenID), TokenID: by.TokenID})
		return err
	})
}

// topicRoom refuses one more topic of a token that is locked.
func topicRoom(ctx context.Context, u *unit, by service.Maker) error {
	return room(ctx, u, service.QuotaTokenTopics, by.Topics, func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.CountTopicsOf(ctx, by.TokenID)
	})
}

// producerRoom refuses one more producer of a token and of a topic, whose head is locked by lockCounted if it has
// a quota.
func producerRoom(ctx context.Context, u *unit, head service.Head, by service.Maker) error {
	err := room(ctx, u, service.QuotaTokenProducers, by.Producers,
		func(ctx context.Context, q *pgsql.Queries) (int64, error) { return q.CountProducersOf(ctx, by.TokenID) })
	if err != nil {
		return err
	}
	return room(ctx, u, service.QuotaTopicProducers, head.Quota.Producers,
		func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.CountProducers(ctx, pgsql.CountProducersParams{Bucket: bucketOf(head.ID), TopicID: int64(head.ID)})
		})
}

// consumerRoom is producerRoom for a consumer.
func consumerRoom(ctx context.Context, u *unit, head service.Head, by service.Maker) error {
	err := room(ctx, u, service.QuotaTokenConsumers, by.Consumers,
		func(ctx context.Context, q *pgsql.Queries) (int64, error) { return q.CountConsumersOf(ctx, by.TokenID) })
	if err != nil {
		return err
	}
	return room(ctx, u, service.QuotaTopicConsumers, head.Quota.Consumers,
		func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.CountConsumers(ctx, pgsql.CountConsumersParams{Bucket: bucketOf(head.ID), TopicID: int64(head.ID)})
		})
}

// room counts, where there is a quota, and refuses one more where there is no room. The statement has a snapshot of its
// own, from after the lock.
func room(
	ctx context.Context, u *unit, quota service.Quota, most int64,
	count func(context.Context, *pgsql.Queries) (int64, error),
) error {
	if most == 0 {
		return nil
	}
	var there int64
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		there, err = count(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	return service.CheckRoom(quota, there, most)
}

// headLock is how a registration holds the head of its topic. Registrations do not keep each other waiting, nor
// appends, unless the topic has a quota of what is registered: then they count under the lock of the head, one
// after another. Which it is shows only when the head is read, and to make a lock stronger that is held could
// meet another that waits for it: so the unit is begun anew.
type headLock struct{ strong bool }

// find reads the head of a topic and holds it. counts says which quota matters.
func (l *headLock) find(
	ctx context.Context, s *Store, u *unit, name service.TopicName, counts func(service.TopicQuota) int64,
) (service.Head, error) {
	if l.strong {
		return s.lockOwnHead(ctx, u, name)
	}
	head, err := findHead(ctx, u, name)
	if err == nil && counts(head.Quota) > 0 {
		l.strong, err = true, errStale
	}
	return head, err
}

func producersOf(q service.TopicQuota) int64 { return q.Producers }
func consumersOf(q service.TopicQuota) int64 { return q.Consumers }
