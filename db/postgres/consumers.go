package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// RegisterConsumer implements service.ConsumerStore.
func (s *Store) RegisterConsumer(
	ctx context.Context, r service.ConsumerRegistration,
) (service.Consumer, service.Head, error) {
	var (
		head service.Head
		row  service.Consumer
		lock headLock
	)
	err := s.write(ctx, func(ctx context.Context, u *unit) (err error) {
		if err := lockMaker(ctx, u, r.Maker); err != nil {
			return err
		}
		if head, err = lock.find(ctx, s, u, r.Topic, consumersOf); err != nil {
			return err
		}
		if r.Name != "" {
			row, err = findConsumer(ctx, u, head, r.Name)
			if err == nil {
				return errNothingToWrite
			}
			if !errors.Is(err, service.ErrConsumerNotFound) {
				return err
			}
		}
		row, err = insertConsumer(ctx, u, head, r)
		return err
	})
	if err != nil {
		return service.Consumer{}, service.Head{}, err
	}
	return row, head, nil
}

func insertConsumer(
	ctx context.Context, u *unit, head service.Head, r service.ConsumerRegistration,
) (service.Consumer, error) {
	offset, err := service.PlanStart(r.From, head)
	if err != nil {
		return service.Consumer{}, err
	}
	if err := consumerRoom(ctx, u, head, r.Maker); err != nil {
		return service.Consumer{}, err
	}
	id, err := u.ids.next(service.BucketOfID(head.ID))
	if err != nil {
		return service.Consumer{}, err
	}
	row := service.Consumer{
		ID: service.ConsumerID(id), Topic: head.ID, Name: r.Name, Offset: offset, LastSeen: stored(r.At),
	}
	var inserted int64
	err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		inserted, err = q.InsertConsumer(ctx, pgsql.InsertConsumerParams{
			Bucket: bucketOf(head.ID), ConsumerID: id, TopicID: int64(head.ID), Name: optional(r.Name),
			StartOffset: int64(offset), LastSeen: row.LastSeen, TokenID: optional(r.Maker.TokenID),
		})
		return err
	})
	if err == nil && inserted == 0 {
		err = errStale // another has registered the name meanwhile: it is found now
	}
	return row, err
}

func findConsumer(ctx context.Context, u *unit, head service.Head, name string) (service.Consumer, error) {
	var row pgsql.Consumer
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		row, err = q.FindConsumer(ctx, findConsumerParams(head.ID, name))
		return err
	})
	return oneConsumer(row, err)
}

func findConsumerParams(topic service.TopicID, name string) pgsql.FindConsumerParams {
	return pgsql.FindConsumerParams{Bucket: bucketOf(topic), TopicID: int64(topic), Name: name}
}

func oneConsumer(row pgsql.Consumer, err error) (service.Consumer, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		err = service.ErrConsumerNotFound
	}
	if err != nil {
		return service.Consumer{}, err
	}
	return toConsumer(row), nil
}

// UnregisterConsumer implements service.ConsumerStore.
func (s *Store) UnregisterConsumer(ctx context.Context, topic service.TopicName, id service.ConsumerID) error {
	return s.write(ctx, func(ctx context.Context, u *unit) error {
		head, err := findHead(ctx, u, topic)
		if err != nil {
			return err
		}
		return u.run(ctx, func(ctx context.Context, q *pgsql.Queries) error {
			n, err := q.DeleteConsumer(ctx, pgsql.DeleteConsumerParams{
				Bucket: bucketOf(head.ID), ConsumerID: int64(id), TopicID: int64(head.ID),
			})
			if err == nil && n == 0 {
				err = service.ErrConsumerNotFound
			}
			return err
		})
	})
}

// Consumers implements service.ConsumerStore.
func (s *Store) Consumers(ctx context.Context, ids []service.ConsumerID) ([]service.Consumer, error) {
	var params pgsql.FindConsumersParams
	for _, id := range ids {
		params.Buckets = append(params.Buckets, bucketOf(id))
		params.ConsumerIds = append(params.ConsumerIds, int64(id))
	}
	var rows []pgsql.Consumer
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.FindConsumers(ctx, params)
		return err
	})
	return toAll(rows, toConsumer), err
}

// FindConsumer implements service.ConsumerStore.
func (s *Store) FindConsumer(ctx context.Context, topic service.TopicID, name string) (service.Consumer, error) {
	var found service.Consumer
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		row, err := q.FindConsumer(ctx, findConsumerParams(topic, name))
		found, err = oneConsumer(row, err)
		return err
	})
	return found, err
}

// ListConsumers implements service.ConsumerStore.
func (s *Store) ListConsumers(
	ctx context.Context, topic service.TopicID, after service.ConsumerID, limit int,
) ([]service.Consumer, error) {
	var rows []pgsql.Consumer
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.ListConsumers(ctx, pgsql.ListConsumersParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), After: int64(after), MaxRows: int64(limit),
		})
		return err
	})
	return toAll(rows, toConsumer), err
}

// Seek implements service.ConsumerStore.
func (s *Store) Seek(ctx context.Context, r service.SeekRequest, now time.Time) (service.Consumer, error) {
	var row service.Consumer
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		bucket, id := bucketOf(r.Consumer), int64(r.Consumer)
		var (
			rows []pgsql.Consumer
			head pgsql.GetConsumerHeadRow
		)
		err := u.run(ctx,
			func(ctx context.Context, q *pgsql.Queries) (err error) {
				rows, err = q.LockConsumers(ctx, pgsql.LockConsumersParams{Bucket: bucket, ConsumerIds: []int64{id}})
				return err
			},
			func(ctx context.Context, q *pgsql.Queries) (err error) {
				head, err = q.GetConsumerHead(ctx, pgsql.GetConsumerHeadParams{Bucket: bucket, ConsumerID: id})
				return err
			})
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && len(rows) == 0) {
			return service.ErrConsumerNotFound // or its topic is gone
		}
		if err != nil {
			return err
		}
		if row, err = service.PlanSeek(r, toConsumer(rows[0]), toHead(headRow(head)), now); err != nil {
			return err
		}
		if err := u.run(ctx, setPositions([]service.Consumer{row})...); err != nil {
			return err
		}
		return fault.Point("offset.before_commit")
	})
	if err != nil {
		return service.Consumer{}, err
	}
	return row, nil
}
