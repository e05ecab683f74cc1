package postgres

import (
	"context"
	"time"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Touch implements service.RetentionStore.
func (s *Store) Touch(
	ctx context.Context, producers []service.ProducerID, consumers []service.ConsumerID, at time.Time,
) error {
	var steps []step
	for _, p := range byBucket(idSet(consumers)) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			_, err := q.TouchConsumers(ctx, pgsql.TouchConsumersParams{At: stored(at), Bucket: p.bucket, ConsumerIds: p.ids})
			return err
		})
	}
	for _, p := range byBucket(idSet(producers)) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			_, err := q.TouchProducers(ctx, pgsql.TouchProducersParams{At: stored(at), Bucket: p.bucket, ProducerIds: p.ids})
			return err
		})
	}
	if len(steps) == 0 {
		return nil
	}
	return s.write(ctx, func(ctx context.Context, u *unit) error { return u.run(ctx, steps...) })
}

func idSet[ID ~int64](ids []ID) map[int64]bool {
	set := make(map[int64]bool, len(ids))
	for _, id := range ids {
		set[int64(id)] = true
	}
	return set
}

// ForgetUnused implements service.RetentionStore. Who is unused is read outside the transaction, for that
// reads all there are, and asked again in it.
func (s *Store) ForgetUnused(ctx context.Context, since time.Time, limit int) (int, error) {
	since = stored(since)
	for ctx.Err() == nil {
		producers, consumers := map[int64]bool{}, map[int64]bool{}
		err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
			found, err := q.ListUnusedConsumers(ctx, pgsql.ListUnusedConsumersParams{Since: since, MaxRows: int64(limit)})
			if err != nil {
				return err
			}
			for _, row := range found {
				consumers[row.ConsumerID] = true
			}
			left := int64(limit - len(found))
			more, err := q.ListUnusedProducers(ctx, pgsql.ListUnusedProducersParams{Since: since, MaxRows: left})
			for _, row := range more {
				producers[row.ProducerID] = true
			}
			return err
		})
		if err != nil || len(producers)+len(consumers) == 0 {
			return 0, err
		}
		// 0 would say that none is left, but another broker may only have been faster.
		if n, err := s.forget(ctx, producers, consumers, since); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, s.failed(ctx, ctx.Err())
}

func (s *Store) forget(ctx context.Context, producers, consumers map[int64]bool, since time.Time) (removed int, err error) {
	err = s.write(ctx, func(ctx context.Context, u *unit) error {
		removed = 0
		var steps []step
		count := func(do func(context.Context, *pgsql.Queries) (int64, error)) {
			steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
				n, err := do(ctx, q)
				removed += int(n)
				return err
			})
		}
		for _, p := range byBucket(consumers) {
			count(func(ctx context.Context, q *pgsql.Queries) (int64, error) {
				return q.ForgetConsumers(ctx, pgsql.ForgetConsumersParams{Bucket: p.bucket, ConsumerIds: p.ids, Since: since})
			})
		}
		for _, p := range byBucket(producers) {
			count(func(ctx context.Context, q *pgsql.Queries) (int64, error) {
				return q.ForgetProducers(ctx, pgsql.ForgetProducersParams{Bucket: p.bucket, ProducerIds: p.ids, Since: since})
			})
		}
		return u.run(ctx, steps...)
	})
	return removed, err
}
