package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// RegisterProducer implements service.ProducerStore, in the order of P2.
func (s *Store) RegisterProducer(
	ctx context.Context, r service.ProducerRegistration,
) (service.Producer, service.Head, error) {
	var (
		head service.Head
		row  service.Producer
		lock headLock
	)
	by := r.Topic.Maker
	err := s.write(ctx, func(ctx context.Context, u *unit) (err error) {
		if err := lockMaker(ctx, u, by); err != nil {
			return err
		}
		head, err = s.findOrCreateHead(ctx, u, r.Topic, &lock)
		if errors.Is(err, errNeedIDs) {
			_, _ = u.ids.next(service.BucketOf(r.Topic.Name)) // the producer's, taken together with the topic's
		}
		if err != nil {
			return err
		}
		if r.Name == "" {
			if err = producerRoom(ctx, u, head, by); err != nil {
				return err
			}
			row, err = insertProducer(ctx, u, head, r)
			return err
		}
		if row, err = lockNamedOrInsert(ctx, u, head, r); err != nil {
			return err
		}
		if row, err = service.OpenSession(row, r.Instance); err != nil {
			return err
		}
		return setSession(ctx, u, row)
	})
	if err != nil {
		return service.Producer{}, service.Head{}, err
	}
	return row, head, nil
}

// findOrCreateHead holds the head of a topic, or creates the topic. When another
// creates it at the same moment the insert waits for that to commit and then does nothing; the next
// look has a snapshot of its own and finds it.
func (s *Store) findOrCreateHead(
	ctx context.Context, u *unit, topic service.NewTopic, lock *headLock,
) (service.Head, error) {
	head, err := lock.find(ctx, s, u, topic.Name, producersOf)
	if !errors.Is(err, service.ErrTopicNotFound) {
		return head, err
	}
	head, created, err := insertTopic(ctx, u, topic)
	if err != nil || created {
		return head, err
	}
	head, err = lock.find(ctx, s, u, topic.Name, producersOf)
	if errors.Is(err, service.ErrTopicNotFound) {
		err = errStale // created and deleted again in between
	}
	return head, err
}

// insertProducer inserts a producer of epoch 0. If the name is taken nothing happens.
func insertProducer(
	ctx context.Context, u *unit, head service.Head, r service.ProducerRegistration,
) (service.Producer, error) {
	id, err := u.ids.next(service.BucketOfID(head.ID))
	if err != nil {
		return service.Producer{}, err
	}
	err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		_, err := q.InsertProducer(ctx, pgsql.InsertProducerParams{
			Bucket: bucketOf(head.ID), ProducerID: id, TopicID: int64(head.ID), Name: optional(r.Name),
			LastUsed: stored(r.Topic.At), TokenID: optional(r.Topic.Maker.TokenID),
		})
		return err
	})
	return service.Producer{ID: service.ProducerID(id), Topic: head.ID, Name: r.Name, LastOffset: -1}, err
}

// lockNamedOrInsert locks and reads the row of a name, inserted first if it is not there. Two brokers
// that register one new name at once both insert; one of them waits and does nothing, and only a
// statement after the insert is sure to see the row that won. A row whose name only counts messages so far is as
// much of a new producer as one that was not there.
func lockNamedOrInsert(
	ctx context.Context, u *unit, head service.Head, r service.ProducerRegistration,
) (service.Producer, error) {
	row, err := lockNamed(ctx, u, head, r.Name)
	missing := errors.Is(err, service.ErrProducerNotFound)
	if err != nil && !missing || row.Epoch > 0 {
		return row, err
	}
	if err := producerRoom(ctx, u, head, r.Topic.Maker); err != nil {
		return service.Producer{}, err
	}
	if missing {
		if _, err := insertProducer(ctx, u, head, r); err != nil {
			return service.Producer{}, err
		}
		if row, err = lockNamed(ctx, u, head, r.Name); err != nil {
			return service.Producer{}, err
		}
	}
	return row, noteMaker(ctx, u, row, r.Topic.Maker)
}

// noteMaker counts a named producer for the token that registers it first. An append may have inserted its row.
func noteMaker(ctx context.Context, u *unit, row service.Producer, by service.Maker) error {
	if !by.Counted() || row.Epoch > 0 {
		return nil
	}
	return u.run(ctx, exactly(1, "note a maker", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.SetProducerToken(ctx, pgsql.SetProducerTokenParams{
			Bucket: bucketOf(row.ID), ProducerID: int64(row.ID), TokenID: optional(by.TokenID),
		})
	}))
}

func lockNamed(ctx context.Context, u *unit, head service.Head, name string) (service.Producer, error) {
	return lockProducer(ctx, u, func(ctx context.Context, q *pgsql.Queries) (pgsql.Producer, error) {
		return q.LockNamedProducer(ctx, pgsql.LockNamedProducerParams{
			Bucket: bucketOf(head.ID), TopicID: int64(head.ID), Name: name,
		})
	})
}

func lockProducer(
	ctx context.Context, u *unit, query func(context.Context, *pgsql.Queries) (pgsql.Producer, error),
) (service.Producer, error) {
	var row pgsql.Producer
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		row, err = query(ctx, q)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return service.Producer{}, service.ErrProducerNotFound
	}
	return toProducer(row), err
}

// setSession writes the session of a producer, changed or not: a client forgets messages on the
// strength of the answer, so the answer must be as durable as they are.
func setSession(ctx context.Context, u *unit, row service.Producer) error {
	fenced := row.Fenced
	if fenced == nil {
		fenced = []string{}
	}
	return u.run(ctx, exactly(1, "set a session", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.SetSession(ctx, pgsql.SetSessionParams{
			Bucket: bucketOf(row.ID), ProducerID: int64(row.ID), Epoch: row.Epoch, Instance: row.Instance, Fenced: fenced,
		})
	}))
}

// UnregisterProducer implements service.ProducerStore.
func (s *Store) UnregisterProducer(ctx context.Context, topic service.TopicName, id service.ProducerID) error {
	return s.write(ctx, func(ctx context.Context, u *unit) error {
		head, err := findHead(ctx, u, topic)
		if err != nil {
			return err
		}
		row, err := lockProducer(ctx, u, func(ctx context.Context, q *pgsql.Queries) (pgsql.Producer, error) {
			return q.LockProducer(ctx, pgsql.LockProducerParams{
				Bucket: bucketOf(head.ID), ProducerID: int64(id), TopicID: int64(head.ID),
			})
		})
		switch {
		case err != nil:
			return err
		case !registered(row):
			return service.ErrProducerNotFound
		case row.Name != "":
			return setSession(ctx, u, service.CloseSession(row))
		}
		return u.run(ctx, exactly(1, "delete a producer", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.DeleteProducer(ctx, pgsql.DeleteProducerParams{Bucket: bucketOf(id), ProducerID: int64(id)})
		}))
	})
}

// Producer implements service.ProducerStore.
func (s *Store) Producer(ctx context.Context, topic service.TopicName, name string) (service.Producer, error) {
	var row service.Producer
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		head, err := findHead(ctx, u, topic)
		if err != nil {
			return err
		}
		if row, err = lockNamed(ctx, u, head, name); err != nil {
			return err
		}
		if !registered(row) {
			return service.ErrProducerNotFound
		}
		return setSession(ctx, u, row)
	})
	if err != nil {
		return service.Producer{}, err
	}
	return row, nil
}

// ListProducers implements service.ProducerStore.
func (s *Store) ListProducers(
	ctx context.Context, topic service.TopicID, after service.ProducerID, limit int,
) ([]service.Producer, error) {
	var rows []pgsql.Producer
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.ListProducers(ctx, pgsql.ListProducersParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), After: int64(after), MaxRows: int64(limit),
		})
		return err
	})
	return toAll(rows, toProducer), err
}

// CountProduced implements service.ProducerStore.
func (s *Store) CountProduced(ctx context.Context, name string, topic service.TopicName) (int64, error) {
	var count int64
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		if topic == "" {
			count, err = q.CountProduced(ctx, name)
			return err
		}
		count, err = q.CountProducedOn(ctx, pgsql.CountProducedOnParams{
			Bucket: int32(service.BucketOf(topic)), Topic: string(topic), Name: name,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			err = service.ErrTopicNotFound
		}
		return err
	})
	return count, err
}
