package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// RegisterConsumer implements service.ConsumerStore.
func (s *Store) RegisterConsumer(
	ctx context.Context, r service.ConsumerRegistration,
) (service.Consumer, service.Head, error) {
	var consumer service.Consumer
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if head, err = tx.own(ctx, r.Topic); err != nil {
			return err
		}
		if r.Name != "" {
			consumer, err = oneConsumer(tx.FindConsumer(ctx, litesql.FindConsumerParams{
				Bucket: bucketOf(head.ID), TopicID: int64(head.ID), Name: named(r.Name),
			}))
			if err == nil {
				return errUnchanged
			}
			if !errors.Is(err, service.ErrConsumerNotFound) {
				return err
			}
		}
		consumer, err = tx.consumer(ctx, r, head)
		return err
	})
	if err != nil {
		return service.Consumer{}, service.Head{}, err
	}
	return consumer, head, nil
}

// consumer makes a consumer.
func (t *tx) consumer(
	ctx context.Context, r service.ConsumerRegistration, head service.Head,
) (service.Consumer, error) {
	offset, err := service.PlanStart(r.From, head)
	if err != nil {
		return service.Consumer{}, err
	}
	if err := t.consumerRoom(ctx, head, r.Maker); err != nil {
		return service.Consumer{}, err
	}
	id, err := t.newID(ctx, bucketOf(head.ID))
	if err != nil {
		return service.Consumer{}, err
	}
	made := service.Consumer{
		ID: service.ConsumerID(id), Topic: head.ID, Name: r.Name, Offset: offset, LastSeen: timeOf(micros(r.At)),
	}
	return made, affected(t.InsertConsumer(ctx, litesql.InsertConsumerParams{
		Bucket: bucketOf(head.ID), ConsumerID: id, TopicID: int64(head.ID), Name: named(r.Name),
		StartOffset: int64(offset), LastSeen: micros(r.At), TokenID: named(r.Maker.TokenID),
	}))
}

func oneConsumer(row litesql.Consumer, err error) (service.Consumer, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return service.Consumer{}, service.ErrConsumerNotFound
	}
	return consumerOf(row), err
}

// UnregisterConsumer implements service.ConsumerStore.
func (s *Store) UnregisterConsumer(ctx context.Context, topic service.TopicName, id service.ConsumerID) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		head, err := tx.own(ctx, topic)
		if err != nil {
			return err
		}
		rows, err := tx.DeleteConsumer(ctx, litesql.DeleteConsumerParams{
			Bucket: bucketOf(id), ConsumerID: int64(id), TopicID: int64(head.ID),
		})
		if err == nil && rows == 0 {
			err = service.ErrConsumerNotFound
		}
		return err
	})
}

// Consumers implements service.ConsumerStore.
func (s *Store) Consumers(ctx context.Context, ids []service.ConsumerID) ([]service.Consumer, error) {
	consumers, err := findConsumers(ctx, s.read, ids)
	return consumers, s.failed(err)
}

func findConsumers(
	ctx context.Context, q *litesql.Queries, ids []service.ConsumerID,
) ([]service.Consumer, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	parameter, err := jsonOf(distinct(ids))
	if err != nil {
		return nil, err
	}
	rows, err := q.FindConsumers(ctx, parameter)
	if err != nil {
		return nil, err
	}
	return all(rows, func(row litesql.Consumer) (service.Consumer, error) { return consumerOf(row), nil })
}

// FindConsumer implements service.ConsumerStore.
func (s *Store) FindConsumer(
	ctx context.Context, topic service.TopicID, name string,
) (service.Consumer, error) {
	consumer, err := oneConsumer(s.read.FindConsumer(ctx, litesql.FindConsumerParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), Name: named(name),
	}))
	return consumer, s.failed(err)
}

// ListConsumers implements service.ConsumerStore.
func (s *Store) ListConsumers(
	ctx context.Context, topic service.TopicID, after service.ConsumerID, limit int,
) ([]service.Consumer, error) {
	rows, err := s.read.ListConsumers(ctx, litesql.ListConsumersParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), After: int64(after), MaxRows: int64(limit),
	})
	if err != nil {
		return nil, s.failed(err)
	}
	return all(rows, func(row litesql.Consumer) (service.Consumer, error) { return consumerOf(row), nil })
}

func (t *tx) setPosition(ctx context.Context, c service.Consumer) error {
	return affected(t.SetPosition(ctx, litesql.SetPositionParams{
		Bucket: bucketOf(c.ID), ConsumerID: int64(c.ID),
		ToOffset: int64(c.Offset), SeekNo: c.SeekNo, LastSeen: micros(c.LastSeen),
	}))
}

// Seek implements service.ConsumerStore.
func (s *Store) Seek(
	ctx context.Context, r service.SeekRequest, now time.Time,
) (service.Consumer, error) {
	var consumer service.Consumer
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		found, err := findConsumers(ctx, tx.Queries, []service.ConsumerID{r.Consumer})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return service.ErrConsumerNotFound
		}
		head, err := get(ctx, tx.Queries, found[0].Topic)
		if err != nil {
			return err
		}
		if consumer, err = service.PlanSeek(r, found[0], head, now); err != nil {
			return err
		}
		if err := tx.setPosition(ctx, consumer); err != nil {
			return err
		}
		return fault.Point("offset.before_commit")
	})
	if err != nil {
		return service.Consumer{}, err
	}
	return consumer, nil
}

// CommitOffsets implements service.ConsumerStore.
func (s *Store) CommitOffsets(ctx context.Context, commits []service.OffsetCommit, now time.Time) error {
	if len(commits) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		incarnations, err := tx.incarnations(ctx, commits)
		if err != nil {
			return err
		}
		for i := range commits {
			c := &commits[i]
			if c.Incarnation != "" && c.Incarnation != incarnations[c.Consumer] {
				continue
			}
			if _, err := tx.CommitOffset(ctx, litesql.CommitOffsetParams{
				Bucket: bucketOf(c.Consumer), ConsumerID: int64(c.Consumer),
				ToOffset: int64(c.Offset), SeekNo: c.SeekNo, LastSeen: micros(now),
			}); err != nil {
				return err
			}
		}
		return fault.Point("offset.before_commit")
	})
}

// incarnations are those of the topics of the consumers that commits are for.
func (t *tx) incarnations(
	ctx context.Context, commits []service.OffsetCommit,
) (map[service.ConsumerID]string, error) {
	ids := make([]service.ConsumerID, len(commits))
	for i := range commits {
		ids[i] = commits[i].Consumer
	}
	consumers, err := findConsumers(ctx, t.Queries, ids)
	if err != nil {
		return nil, err
	}
	topics := make([]service.TopicID, len(consumers))
	for i := range consumers {
		topics[i] = consumers[i].Topic
	}
	heads, err := t.heads(ctx, topics)
	if err != nil {
		return nil, err
	}
	if err := service.CheckDatabase(heads); err != nil {
		return nil, err
	}
	incarnations := make(map[service.ConsumerID]string, len(consumers))
	for i := range consumers {
		incarnations[consumers[i].ID] = heads[consumers[i].Topic].Incarnation
	}
	return incarnations, nil
}
