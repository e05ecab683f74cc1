package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// CreateTopic implements service.TopicStore.
func (s *Store) CreateTopic(ctx context.Context, topic service.NewTopic) (service.Head, error) {
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var created bool
		var err error
		head, created, err = tx.topic(ctx, topic)
		if err == nil && !created {
			err = service.ErrTopicExists
		}
		return err
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

// topic returns the topic of a name, made if there is none.
func (t *tx) topic(ctx context.Context, topic service.NewTopic) (head service.Head, created bool, err error) {
	head, err = t.find(ctx, topic.Name)
	if err == nil || !errors.Is(err, service.ErrTopicNotFound) {
		return head, false, err
	}
	if err := t.topicRoom(ctx, topic.Maker); err != nil {
		return service.Head{}, false, err
	}
	bucket := service.BucketOf(topic.Name)
	id, err := t.newID(ctx, int64(bucket))
	if err != nil {
		return service.Head{}, false, err
	}
	if err := affected(t.InsertTopic(ctx, litesql.InsertTopicParams{
		Bucket: int64(bucket), TopicID: id, Name: string(topic.Name), CreatedAt: micros(topic.At),
		TokenID: named(topic.Maker.TokenID),
	})); err != nil {
		return service.Head{}, false, err
	}
	if err := t.InsertHead(ctx, litesql.InsertHeadParams{
		Bucket: int64(bucket), TopicID: id, Incarnation: topic.Incarnation,
	}); err != nil {
		return service.Head{}, false, err
	}
	if !topic.Retention.IsZero() {
		if err := t.setRetention(ctx, service.TopicID(id), topic.Retention); err != nil {
			return service.Head{}, false, err
		}
	}
	if topic.Quota != (service.TopicQuota{}) {
		if err := t.setQuota(ctx, service.TopicID(id), topic.Quota); err != nil {
			return service.Head{}, false, err
		}
	}
	head, err = t.find(ctx, topic.Name)
	return head, true, err
}

// find reads the head of a topic by name.
func (t *tx) find(ctx context.Context, name service.TopicName) (service.Head, error) {
	row, err := t.FindHead(ctx, litesql.FindHeadParams{
		Bucket: int64(service.BucketOf(name)), Name: string(name),
	})
	if errors.Is(err, sql.ErrNoRows) {
		return service.Head{}, service.ErrTopicNotFound
	}
	return headOf(litesql.GetHeadRow(row)), err
}

// get reads the head of a topic by id.
func get(ctx context.Context, q *litesql.Queries, id service.TopicID) (service.Head, error) {
	row, err := q.GetHead(ctx, litesql.GetHeadParams{Bucket: bucketOf(id), TopicID: int64(id)})
	if errors.Is(err, sql.ErrNoRows) {
		return service.Head{}, service.ErrTopicNotFound
	}
	return headOf(row), err
}

// newID takes an id out of a bucket's counter. If the transaction is rolled back, so is the
// counter: nobody has seen the id.
func (t *tx) newID(ctx context.Context, bucket int64) (int64, error) {
	counter, err := t.TakeIDs(ctx, litesql.TakeIDsParams{Bucket: bucket, Count: 1})
	if err != nil {
		return 0, err
	}
	return service.NewID(counter, service.Bucket(bucket)), nil
}

// Heads implements service.TopicStore.
func (s *Store) Heads(ctx context.Context, names []service.TopicName) ([]service.Head, error) {
	if len(names) == 0 {
		return nil, nil
	}
	keys := make([][2]any, len(names))
	for i, name := range names {
		keys[i] = [2]any{service.BucketOf(name), name}
	}
	parameter, err := jsonOf(keys)
	if err != nil {
		return nil, s.failed(err)
	}
	rows, err := s.read.FindHeads(ctx, parameter)
	if err != nil {
		return nil, s.failed(err)
	}
	heads := make([]service.Head, len(rows))
	for i, row := range rows {
		heads[i] = headOf(litesql.GetHeadRow(row))
	}
	return heads, nil
}

// Changed implements service.TopicStore.
func (s *Store) Changed(ctx context.Context, seen []service.Head) ([]service.TopicName, error) {
	heads, err := s.Heads(ctx, service.NamesOf(seen))
	return service.ChangedHeads(seen, heads), err
}

// ListTopics implements service.TopicStore.
func (s *Store) ListTopics(
	ctx context.Context, prefix string, after service.TopicName, limit int,
) ([]service.TopicName, error) {
	rows, err := s.read.ListTopics(ctx, litesql.ListTopicsParams{
		// No character sorts behind the last one of Unicode, and no name has it.
		Prefix: prefix, Beyond: prefix + "\U0010FFFF", After: string(after), MaxRows: int64(limit),
	})
	if err != nil {
		return nil, s.failed(err)
	}
	names := make([]service.TopicName, len(rows))
	for i, name := range rows {
		names[i] = service.TopicName(name)
	}
	return names, nil
}

// CountClients implements service.TopicStore.
func (s *Store) CountClients(ctx context.Context, topic service.TopicID) (producers, consumers int64, err error) {
	producers, err = s.read.CountProducers(ctx, litesql.CountProducersParams{
		Bucket: bucketOf(topic), TopicID: int64(topic),
	})
	if err != nil {
		return 0, 0, s.failed(err)
	}
	consumers, err = s.read.CountConsumers(ctx, litesql.CountConsumersParams{
		Bucket: bucketOf(topic), TopicID: int64(topic),
	})
	if err != nil {
		return 0, 0, s.failed(err)
	}
	return producers, consumers, nil
}

// DeleteTopic implements service.TopicStore.
func (s *Store) DeleteTopic(ctx context.Context, name service.TopicName, at time.Time) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		head, err := tx.find(ctx, name)
		if err != nil {
			return err
		}
		bucket, id := bucketOf(head.ID), int64(head.ID)
		if err := affected(tx.DeleteHead(ctx, litesql.DeleteHeadParams{Bucket: bucket, TopicID: id})); err != nil {
			return err
		}
		if err := affected(tx.DeleteTopic(ctx, litesql.DeleteTopicParams{Bucket: bucket, TopicID: id})); err != nil {
			return err
		}
		if err := tx.setRetention(ctx, head.ID, service.Retention{}); err != nil {
			return err
		}
		return tx.InsertDeletedTopic(ctx, litesql.InsertDeletedTopicParams{
			Bucket: bucket, TopicID: id, DeletedAt: micros(at),
		})
	})
}

// NewIncarnation implements service.TopicStore.
func (s *Store) NewIncarnation(
	ctx context.Context, name service.TopicName, incarnation string,
) (service.Head, error) {
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) (err error) {
		if head, err = tx.find(ctx, name); err != nil {
			return err
		}
		return tx.renew(ctx, &head, incarnation)
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

// Renew implements service.TopicStore.
func (s *Store) Renew(ctx context.Context, name service.TopicName, incarnation string) (service.Head, error) {
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) (err error) {
		if head, err = tx.find(ctx, name); err != nil {
			return err
		}
		if !head.Foreign {
			return errUnchanged
		}
		return tx.renew(ctx, &head, incarnation)
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

// renew gives a topic another incarnation, and the identity of this file.
func (t *tx) renew(ctx context.Context, head *service.Head, incarnation string) error {
	head.Incarnation, head.Foreign = incarnation, false
	return affected(t.SetIncarnation(ctx, litesql.SetIncarnationParams{
		Bucket: bucketOf(head.ID), TopicID: int64(head.ID), Incarnation: incarnation,
	}))
}

// own is find for what is decided on the topic.
func (t *tx) own(ctx context.Context, name service.TopicName) (service.Head, error) {
	head, err := t.find(ctx, name)
	if err != nil {
		return service.Head{}, err
	}
	return head, service.CheckOwn(head)
}
