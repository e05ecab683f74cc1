package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Sweep implements service.TopicStore. One call works on one topic: a deleted one if there is any,
// else one with a trimmed part. Several brokers may sweep at once: they delete the same rows, and
// those that come second find them gone.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	limit = max(limit, 1)
	for ctx.Err() == nil {
		n, found, err := s.sweepDeleted(ctx, int64(limit))
		if err == nil && !found {
			n, found, err = s.sweepTrimmed(ctx, int64(limit))
		}
		if err != nil || n > 0 || !found {
			return n, err
		}
		// Another broker has done it meanwhile.
	}
	return 0, s.failed(ctx, ctx.Err())
}

// sweepDeleted removes rows of a deleted topic, and with the last of them the note of its deletion.
func (s *Store) sweepDeleted(ctx context.Context, limit int64) (removed int, found bool, err error) {
	var deleted pgsql.FindDeletedTopicRow
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		deleted, err = q.FindDeletedTopic(ctx)
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || !found {
		return 0, false, err
	}
	until, err := s.sweepEnd(ctx, pgsql.FindSweepEndParams{
		Bucket: deleted.Bucket, TopicID: deleted.TopicID, UntilOffset: service.MaxInteger, MaxRows: limit,
	})
	if err != nil {
		return 0, true, err
	}
	err = s.write(ctx, func(ctx context.Context, u *unit) error {
		removed = 0
		left := limit
		for _, table := range sweeps(deleted.Bucket, deleted.TopicID, until) {
			n, err := table(ctx, u, left)
			if err != nil {
				return err
			}
			removed += int(n)
			if left -= n; left <= 0 {
				return nil
			}
		}
		var n int64
		err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			n, err = q.DeleteDeletedTopic(ctx, pgsql.DeleteDeletedTopicParams(deleted))
			return err
		})
		removed += int(n)
		return err
	})
	return removed, true, err
}

// sweeps are the tables that a deleted topic leaves rows in, each as a call that removes at most so
// many; of the messages those below until.
func sweeps(bucket int32, topic, until int64) []func(ctx context.Context, u *unit, limit int64) (int64, error) {
	table := func(
		query func(ctx context.Context, q *pgsql.Queries, limit int64) (int64, error),
	) func(context.Context, *unit, int64) (int64, error) {
		return func(ctx context.Context, u *unit, limit int64) (n int64, err error) {
			err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
				n, err = query(ctx, q, limit)
				return err
			})
			return n, err
		}
	}
	return []func(context.Context, *unit, int64) (int64, error){
		table(func(ctx context.Context, q *pgsql.Queries, _ int64) (int64, error) {
			return q.SweepMessages(ctx, pgsql.SweepMessagesParams{Bucket: bucket, TopicID: topic, UntilOffset: until})
		}),
		table(func(ctx context.Context, q *pgsql.Queries, limit int64) (int64, error) {
			return q.SweepProducers(ctx, pgsql.SweepProducersParams{Bucket: bucket, TopicID: topic, MaxRows: limit})
		}),
		table(func(ctx context.Context, q *pgsql.Queries, limit int64) (int64, error) {
			return q.SweepConsumers(ctx, pgsql.SweepConsumersParams{Bucket: bucket, TopicID: topic, MaxRows: limit})
		}),
	}
}

// sweepTrimmed removes rows below the first offset of a topic. The head is written last, so that
// produces wait for it during the commit only.
func (s *Store) sweepTrimmed(ctx context.Context, limit int64) (removed int, found bool, err error) {
	var head pgsql.FindTrimmedHeadRow
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		head, err = q.FindTrimmedHead(ctx)
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || !found {
		return 0, false, err
	}
	until, err := s.sweepEnd(ctx, pgsql.FindSweepEndParams{
		Bucket: head.Bucket, TopicID: head.TopicID, FromOffset: head.SweptOffset, UntilOffset: head.FirstOffset, MaxRows: limit,
	})
	if err != nil {
		return 0, true, err
	}
	err = s.write(ctx, func(ctx context.Context, u *unit) error {
		return u.run(ctx,
			func(ctx context.Context, q *pgsql.Queries) error {
				n, err := q.SweepMessages(ctx, pgsql.SweepMessagesParams{
					Bucket: head.Bucket, TopicID: head.TopicID, FromOffset: head.SweptOffset, UntilOffset: until,
				})
				removed = int(n)
				return err
			},
			func(ctx context.Context, q *pgsql.Queries) error {
				_, err := q.SetSwept(ctx, pgsql.SetSweptParams{
					Bucket: head.Bucket, TopicID: head.TopicID, SweptOffset: until,
				})
				return err
			})
	})
	return removed, true, err
}

// sweepBytes is how much of payloads one sweep removes: to delete a long one is to delete a row for each
// 2 kB of it, and a statement that takes longer than it may would fail again and again.
const sweepBytes = 16 << 20

// sweepEnd returns up to where one sweep removes the rows of a range.
func (s *Store) sweepEnd(ctx context.Context, of pgsql.FindSweepEndParams) (until int64, err error) {
	of.Bytes = sweepBytes
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		until, err = q.FindSweepEnd(ctx, of)
		return err
	})
	if until == 0 {
		until = of.UntilOffset // nothing is there any more
	}
	return until, err
}
