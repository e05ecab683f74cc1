package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Read implements service.MessageStore.
func (s *Store) Read(
	ctx context.Context, topic service.TopicID, from service.Offset, limit int, maxBytes int64,
) ([]service.Message, error) {
	if limit <= 0 {
		return nil, nil
	}
	params := readParams(topic, from, limit, maxBytes)
	var rows []pgsql.ReadMessagesRow
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.ReadMessages(ctx, params)
		return err
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return toRun(rows, from, limit)
}

func readParams(topic service.TopicID, from service.Offset, limit int, maxBytes int64) pgsql.ReadMessagesParams {
	until := int64(math.MaxInt64)
	if int64(limit) < until-int64(from) {
		until = int64(from) + int64(limit)
	}
	return pgsql.ReadMessagesParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), FromOffset: int64(from), UntilOffset: until, MaxBytes: maxBytes,
	}
}

// toRun turns rows into messages and stops if they are not those that were asked for.
func toRun(rows []pgsql.ReadMessagesRow, from service.Offset, limit int) ([]service.Message, error) {
	messages := make([]service.Message, len(rows))
	for i := range rows {
		m, err := toMessage(rows[i])
		if err != nil {
			return nil, err
		}
		messages[i] = m
	}
	if err := service.CheckRun(messages, from, limit); err != nil {
		return nil, err
	}
	return messages, nil
}

// FindTime implements service.MessageStore.
func (s *Store) FindTime(ctx context.Context, topic service.TopicID, t time.Time) (service.Offset, error) {
	head, err := s.getHead(ctx, topic)
	if err != nil {
		return 0, err
	}
	return service.SearchTime(head.First, head.Next, t, func(at service.Offset) (time.Time, error) {
		var created time.Time
		err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			created, err = q.GetCreatedAt(ctx, pgsql.GetCreatedAtParams{
				Bucket: bucketOf(topic), TopicID: int64(topic), AtOffset: int64(at),
			})
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // swept meanwhile: the zero time
			}
			return err
		})
		return created, err
	})
}

func (s *Store) getHead(ctx context.Context, topic service.TopicID) (service.Head, error) {
	var row headRow
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		row, err = q.GetHead(ctx, pgsql.GetHeadParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
		if errors.Is(err, pgx.ErrNoRows) {
			err = service.ErrTopicNotFound
		}
		return err
	})
	return toHead(row), err
}

// Trim implements service.MessageStore. What becomes invisible is summed up before the lock, for that
// may take long and produces wait for the head. Messages never change, so the sum still holds under
// the lock unless another Trim has come first; then all begins anew.
func (s *Store) Trim(ctx context.Context, topic service.TopicID, before service.Offset) (service.Head, error) {
	var head service.Head
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		seen, err := s.getHead(ctx, topic)
		if err != nil {
			return err
		}
		first := min(max(before, seen.First), seen.Next)
		var removed int64
		err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			removed, err = q.SumSizes(ctx, pgsql.SumSizesParams{
				Bucket: bucketOf(topic), TopicID: int64(topic), FromOffset: int64(seen.First), UntilOffset: int64(first),
			})
			return err
		})
		if err != nil {
			return err
		}
		if head, err = lockHead(ctx, u, topic); err != nil {
			return err
		}
		if head.First != seen.First {
			return errStale
		}
		if first == head.First {
			return errNothingToWrite
		}
		head.First = first
		head.Bytes -= removed
		return u.run(ctx, exactly(1, "trim a head", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.TrimHead(ctx, pgsql.TrimHeadParams{
				Bucket: bucketOf(topic), TopicID: int64(topic), FirstOffset: int64(head.First), Bytes: head.Bytes,
			})
		}))
	})
	if err != nil {
		return service.Head{}, err
	}
	return head, nil
}

func lockHead(ctx context.Context, u *unit, topic service.TopicID) (service.Head, error) {
	var rows []pgsql.LockHeadsRow
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.LockHeads(ctx, pgsql.LockHeadsParams{Bucket: bucketOf(topic), TopicIds: []int64{int64(topic)}})
		return err
	})
	if err != nil {
		return service.Head{}, err
	}
	if len(rows) == 0 {
		return service.Head{}, service.ErrTopicNotFound
	}
	return toHead(headRow(rows[0])), nil
}
