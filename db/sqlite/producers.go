package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// registered tells producers from the rows of names that only count messages.
func registered(p service.Producer) bool { return p.Name == "" || p.Epoch > 0 }

// RegisterProducer implements service.ProducerStore.
func (s *Store) RegisterProducer(
	ctx context.Context, r service.ProducerRegistration,
) (service.Producer, service.Head, error) {
	var producer service.Producer
	var head service.Head
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if head, _, err = tx.topic(ctx, r.Topic); err != nil {
			return err
		}
		if err := service.CheckOwn(head); err != nil {
			return err
		}
		if producer, err = tx.producer(ctx, head, r); err != nil || r.Name == "" {
			return err
		}
		if producer, err = service.OpenSession(producer, r.Instance); err != nil {
			return err
		}
		return tx.setSession(ctx, producer)
	})
	if err != nil {
		return service.Producer{}, service.Head{}, err
	}
	return producer, head, nil
}

// producer returns the row of a name, made if there is none; without a name always a new one. A row whose name
// only counts messages so far is as much of a new producer as one that was not there.
func (t *tx) producer(
	ctx context.Context, head service.Head, r service.ProducerRegistration,
) (service.Producer, error) {
	topic, maker := head.ID, named(r.Topic.Maker.TokenID)
	there, err := service.Producer{}, error(service.ErrProducerNotFound)
	if r.Name != "" {
		there, err = t.namedProducer(ctx, topic, r.Name)
	}
	missing := errors.Is(err, service.ErrProducerNotFound)
	if err != nil && !missing || there.Epoch > 0 {
		return there, err
	}
	if err := t.producerRoom(ctx, head, r.Topic.Maker); err != nil {
		return service.Producer{}, err
	}
	if !missing {
		return there, affected(t.SetProducerToken(ctx, litesql.SetProducerTokenParams{
			Bucket: bucketOf(there.ID), ProducerID: int64(there.ID), TokenID: maker,
		}))
	}
	id, err := t.newID(ctx, bucketOf(topic))
	if err != nil {
		return service.Producer{}, err
	}
	if err := affected(t.InsertProducer(ctx, litesql.InsertProducerParams{
		Bucket: bucketOf(topic), ProducerID: id, TopicID: int64(topic), Name: named(r.Name),
		LastUsed: micros(r.Topic.At), TokenID: maker,
	})); err != nil {
		return service.Producer{}, err
	}
	return t.producerByID(ctx, topic, service.ProducerID(id))
}

func (t *tx) namedProducer(ctx context.Context, topic service.TopicID, name string) (service.Producer, error) {
	return oneProducer(t.LockNamedProducer(ctx, litesql.LockNamedProducerParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), Name: named(name),
	}))
}

func (t *tx) producerByID(
	ctx context.Context, topic service.TopicID, id service.ProducerID,
) (service.Producer, error) {
	return oneProducer(t.LockProducer(ctx, litesql.LockProducerParams{
		Bucket: bucketOf(id), ProducerID: int64(id), TopicID: int64(topic),
	}))
}

func oneProducer(row litesql.Producer, err error) (service.Producer, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return service.Producer{}, service.ErrProducerNotFound
	}
	if err != nil {
		return service.Producer{}, err
	}
	return producerOf(row)
}

func (t *tx) setSession(ctx context.Context, p service.Producer) error {
	fenced, err := fencedOf(p.Fenced)
	if err != nil {
		return err
	}
	return affected(t.SetSession(ctx, litesql.SetSessionParams{
		Bucket: bucketOf(p.ID), ProducerID: int64(p.ID),
		Epoch: p.Epoch, Instance: p.Instance, Fenced: fenced,
	}))
}

// UnregisterProducer implements service.ProducerStore.
func (s *Store) UnregisterProducer(ctx context.Context, topic service.TopicName, id service.ProducerID) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		head, err := tx.own(ctx, topic)
		if err != nil {
			return err
		}
		producer, err := tx.producerByID(ctx, head.ID, id)
		switch {
		case err != nil:
			return err
		case !registered(producer):
			return service.ErrProducerNotFound
		case producer.Name != "":
			return tx.setSession(ctx, service.CloseSession(producer))
		}
		return affected(tx.DeleteProducer(ctx, litesql.DeleteProducerParams{
			Bucket: bucketOf(id), ProducerID: int64(id),
		}))
	})
}

// Producer implements service.ProducerStore. It writes what it has read, as on Postgres. SQLite
// itself finds the page unchanged and syncs nothing, and need not: here nothing is visible before
// it is synced, and what the file showed at the start was made durable then (writer.settle).
func (s *Store) Producer(ctx context.Context, topic service.TopicName, name string) (service.Producer, error) {
	var producer service.Producer
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		head, err := tx.own(ctx, topic)
		if err != nil {
			return err
		}
		if producer, err = tx.namedProducer(ctx, head.ID, name); err != nil {
			return err
		}
		if !registered(producer) {
			return service.ErrProducerNotFound
		}
		return tx.setSession(ctx, producer)
	})
	if err != nil {
		return service.Producer{}, err
	}
	return producer, nil
}

// ListProducers implements service.ProducerStore.
func (s *Store) ListProducers(
	ctx context.Context, topic service.TopicID, after service.ProducerID, limit int,
) ([]service.Producer, error) {
	rows, err := s.read.ListProducers(ctx, litesql.ListProducersParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), After: int64(after), MaxRows: int64(limit),
	})
	if err != nil {
		return nil, s.failed(err)
	}
	return all(rows, producerOf)
}

// CountProduced implements service.ProducerStore.
func (s *Store) CountProduced(ctx context.Context, name string, topic service.TopicName) (int64, error) {
	if topic == "" {
		count, err := s.read.CountProduced(ctx, named(name))
		return count, s.failed(err)
	}
	count, err := s.read.CountProducedOn(ctx, litesql.CountProducedOnParams{
		Name: named(name), Bucket: int64(service.BucketOf(topic)), Topic: string(topic),
	})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, service.ErrTopicNotFound
	}
	return count, s.failed(err)
}
