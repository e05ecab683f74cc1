package postgres

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// CreateTopic implements service.TopicStore.
func (s *Store) CreateTopic(ctx context.Context, topic service.NewTopic) (service.Head, error) {
	// Looked up first, so that creating a topic again and again takes no ids.
	if there, err := s.Heads(ctx, []service.TopicName{topic.Name}); err != nil {
		return service.Head{}, err
	} else if len(there) > 0 {
		return service.Head{}, service.ErrTopicExists
	}
	var head service.Head
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		if err := lockMaker(ctx, u, topic.Maker); err != nil {
			return err
		}
		created, ok, err := insertTopic(ctx, u, topic)
		if err == nil && !ok {
			err = service.ErrTopicExists
		}
		head = created
		return err
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

// insertTopic creates a topic and its head, or answers false when another has the name. Its maker is locked.
func insertTopic(ctx context.Context, u *unit, topic service.NewTopic) (service.Head, bool, error) {
	if err := topicRoom(ctx, u, topic.Maker); err != nil {
		return service.Head{}, false, err
	}
	bucket := service.BucketOf(topic.Name)
	id, err := u.ids.next(bucket)
	if err != nil {
		return service.Head{}, false, err
	}
	var inserted int64
	err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		inserted, err = q.InsertTopic(ctx, pgsql.InsertTopicParams{
			Bucket: int32(bucket), TopicID: id, Name: string(topic.Name), CreatedAt: stored(topic.At),
			TokenID: optional(topic.Maker.TokenID),
		})
		return err
	})
	if err != nil || inserted == 0 {
		return service.Head{}, false, err
	}
	steps := []step{func(ctx context.Context, q *pgsql.Queries) error {
		return q.InsertHead(ctx, pgsql.InsertHeadParams{
			Bucket: int32(bucket), TopicID: id, Incarnation: topic.Incarnation,
		})
	}}
	if !topic.Retention.IsZero() {
		steps = append(steps, writeRetention(service.TopicID(id), topic.Retention))
	}
	if topic.Quota != (service.TopicQuota{}) {
		steps = append(steps, writeQuota(service.TopicID(id), topic.Quota))
	}
	err = u.run(ctx, steps...)
	return service.Head{
		ID: service.TopicID(id), Name: topic.Name, Incarnation: topic.Incarnation, CreatedAt: stored(topic.At),
		Quota: topic.Quota,
	}, true, err
}

// findHead reads the head of a topic and keeps the topic from being deleted until the unit ends. It
// refuses one that is foreign.
func findHead(ctx context.Context, u *unit, name service.TopicName) (service.Head, error) {
	var row pgsql.FindHeadRow
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		row, err = q.FindHead(ctx, pgsql.FindHeadParams{Bucket: int32(service.BucketOf(name)), Name: string(name)})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return service.Head{}, service.ErrTopicNotFound
	}
	if err != nil {
		return service.Head{}, err
	}
	head := toHead(headRow(row))
	return head, service.CheckOwn(head)
}

// Heads implements service.TopicStore.
func (s *Store) Heads(ctx context.Context, names []service.TopicName) ([]service.Head, error) {
	var params pgsql.FindHeadsParams
	for _, name := range names {
		params.Buckets = append(params.Buckets, int32(service.BucketOf(name)))
		params.Names = append(params.Names, string(name))
	}
	var rows []pgsql.FindHeadsRow
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.FindHeads(ctx, params)
		return err
	})
	return toAll(rows, func(row pgsql.FindHeadsRow) service.Head { return toHead(headRow(row)) }), err
}

// Changed implements service.TopicStore.
func (s *Store) Changed(ctx context.Context, seen []service.Head) (changed []service.TopicName, err error) {
	if len(seen) == 0 {
		return nil, nil
	}
	params := pgsql.FindChangedParams{
		Buckets: make([]int32, 0, len(seen)), TopicIds: make([]int64, 0, len(seen)),
		Incarnations: make([]string, 0, len(seen)), NextOffsets: make([]int64, 0, len(seen)),
	}
	for i := range seen {
		h := &seen[i]
		params.Buckets = append(params.Buckets, int32(service.BucketOf(h.Name)))
		params.TopicIds = append(params.TopicIds, int64(h.ID))
		params.Incarnations = append(params.Incarnations, h.Incarnation)
		params.NextOffsets = append(params.NextOffsets, int64(h.Next))
	}
	var which []int64
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		which, err = q.FindChanged(ctx, params)
		return err
	})
	for _, n := range which {
		changed = append(changed, seen[n-1].Name)
	}
	return changed, err
}

// ListTopics implements service.TopicStore.
func (s *Store) ListTopics(
	ctx context.Context, prefix string, after service.TopicName, limit int,
) ([]service.TopicName, error) {
	var names []string
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		names, err = q.ListTopics(ctx, pgsql.ListTopicsParams{
			Prefix: prefix, Beyond: prefix + string(utf8.MaxRune), After: string(after), MaxRows: int64(limit),
		})
		return err
	})
	return toAll(names, func(name string) service.TopicName { return service.TopicName(name) }), err
}

// CountClients implements service.TopicStore.
func (s *Store) CountClients(ctx context.Context, topic service.TopicID) (producers, consumers int64, err error) {
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		bucket, id := bucketOf(topic), int64(topic)
		if producers, err = q.CountProducers(ctx, pgsql.CountProducersParams{Bucket: bucket, TopicID: id}); err != nil {
			return err
		}
		consumers, err = q.CountConsumers(ctx, pgsql.CountConsumersParams{Bucket: bucket, TopicID: id})
		return err
	})
	return producers, consumers, err
}

// DeleteTopic implements service.TopicStore. The lock on the head is the strongest there is: it
// waits for every append and registration that is under way, and those that come after it find no
// head. So nothing is added to the topic once its id is noted for Sweep.
func (s *Store) DeleteTopic(ctx context.Context, name service.TopicName, at time.Time) error {
	bucket := int32(service.BucketOf(name))
	return s.write(ctx, func(ctx context.Context, u *unit) error {
		var id int64
		err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			id, err = q.LockHeadToDelete(ctx, pgsql.LockHeadToDeleteParams{Bucket: bucket, Name: string(name)})
			return err
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return service.ErrTopicNotFound
		}
		if err != nil {
			return err
		}
		return u.run(ctx,
			exactly(1, "delete a head", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
				return q.DeleteHead(ctx, pgsql.DeleteHeadParams{Bucket: bucket, TopicID: id})
			}),
			exactly(1, "delete a topic", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
				return q.DeleteTopic(ctx, pgsql.DeleteTopicParams{Bucket: bucket, TopicID: id})
			}),
			deleteRetention(service.TopicID(id)),
			func(ctx context.Context, q *pgsql.Queries) error {
				return q.InsertDeletedTopic(ctx, pgsql.InsertDeletedTopicParams{
					Bucket: bucket, TopicID: id, DeletedAt: stored(at),
				})
			})
	})
}

// NewIncarnation implements service.TopicStore.
func (s *Store) NewIncarnation(
	ctx context.Context, name service.TopicName, incarnation string,
) (service.Head, error) {
	return s.renew(ctx, name, incarnation, func(service.Head) bool { return true })
}

// lockNamedHead locks the head of a topic. It is found before it is locked, for the lock by name is a weaker one,
// and to make it stronger could meet another that waits for it.
func (s *Store) lockNamedHead(ctx context.Context, u *unit, name service.TopicName) (service.Head, error) {
	seen, err := s.Heads(ctx, []service.TopicName{name})
	if err != nil {
		return service.Head{}, err
	}
	if len(seen) == 0 {
		return service.Head{}, service.ErrTopicNotFound
	}
	head, err := lockHead(ctx, u, seen[0].ID)
	if errors.Is(err, service.ErrTopicNotFound) {
		err = errStale // deleted in between: the name may be another topic's by now
	}
	return head, err
}

// lockOwnHead locks the head of a topic that was last appended to under this database (P13).
func (s *Store) lockOwnHead(ctx context.Context, u *unit, name service.TopicName) (service.Head, error) {
	head, err := s.lockNamedHead(ctx, u, name)
	if err == nil {
		err = service.CheckOwn(head)
	}
	return head, err
}

// Renew implements service.TopicStore.
func (s *Store) Renew(ctx context.Context, name service.TopicName, incarnation string) (service.Head, error) {
	return s.renew(ctx, name, incarnation, func(head service.Head) bool { return head.Foreign })
}

// renew gives a topic another incarnation, and the identity of this database, if its head under the
// lock is one to do it to.
func (s *Store) renew(
	ctx context.Context, name service.TopicName, incarnation string, due func(service.Head) bool,
) (service.Head, error) {
	var head service.Head
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		var err error
		if head, err = s.lockNamedHead(ctx, u, name); err != nil {
			return err
		}
		if !due(head) {
			return errNothingToWrite
		}
		head.Incarnation, head.Foreign = incarnation, false
		return u.run(ctx, exactly(1, "set an incarnation", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.SetIncarnation(ctx, pgsql.SetIncarnationParams{
				Bucket: bucketOf(head.ID), TopicID: int64(head.ID), Incarnation: incarnation,
			})
		}))
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}
