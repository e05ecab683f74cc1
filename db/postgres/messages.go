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
	return toRun(rows, topic, from, limit)
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
func toRun(
	rows []pgsql.ReadMessagesRow, topic service.TopicID, from service.Offset, limit int,
) ([]service.Message, error) {
	messages := make([]service.Message, len(rows))
	for i := range rows {
		row := &rows[i]
		var err error
		messages[i], err = toMessage(pgsql.FindStoredRow{
			Offset: row.Offset, ProdName: row.ProdName, Seq: row.Seq, IsBinary: row.IsBinary,
			Payload: row.Payload, Headers: row.Headers, CreatedAt: row.CreatedAt,
		})
		if err == nil && row.Checksum.Valid { // messages stored before there were any have none
			err = service.VerifyChecksum(topic, &messages[i], row.Headers, &row.Checksum.Int64)
		}
		if err != nil {
			return nil, err
		}
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

// sumStep is how many offsets are summed up by one query, which readLimit bounds.
const sumStep = 1_000_000

// Trim implements service.MessageStore. What becomes invisible is summed up before the transaction, for
// that may take long and produces wait for the head. Messages never change, so the sum still holds under
// the lock unless another Trim has come first, or a consumer that is waited for has gone back; then all begins
// anew.
func (s *Store) Trim(
	ctx context.Context, topic service.TopicID, before service.Offset, decidedBy ...service.Retention,
) (service.Head, error) {
	for {
		seen, err := s.getHead(ctx, topic)
		if err != nil {
			return service.Head{}, err
		}
		positions, err := s.findKeepers(ctx, topic, service.KeptFor(decidedBy))
		if err != nil {
			return service.Head{}, err
		}
		first := service.PlanTrim(before, seen, decidedBy, positions)
		if first == seen.First {
			return seen, nil
		}
		bytes, err := s.sumSizes(ctx, topic, seen.First, first, sumStep)
		if err != nil {
			return service.Head{}, err
		}
		head, done, err := s.moveFirst(ctx, seen, trimmed{first, bytes}, decidedBy)
		if err != nil || done {
			return head, err
		}
	}
}

func (s *Store) sumSizes(
	ctx context.Context, topic service.TopicID, from, until, step service.Offset,
) (bytes int64, err error) {
	for ; from < until && err == nil; from += step {
		err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
			n, err := q.SumSizes(ctx, pgsql.SumSizesParams{
				Bucket: bucketOf(topic), TopicID: int64(topic),
				FromOffset: int64(from), UntilOffset: int64(min(from+step, until)),
			})
			bytes += n
			return err
		})
	}
	return bytes, err
}

// trimmed is where the first offset is to go, and how many bytes become invisible by that.
type trimmed struct {
	first service.Offset
	bytes int64
}

// moveFirst moves the first offset, unless it is not where it was seen, or must not go so far any more. The
// consumers are locked before the head, so that produces do not wait with it for a move that is under way.
func (s *Store) moveFirst(
	ctx context.Context, seen service.Head, to trimmed, decidedBy []service.Retention,
) (head service.Head, done bool, err error) {
	err = s.write(ctx, func(ctx context.Context, u *unit) (err error) {
		positions, err := lockKeepers(ctx, u, seen.ID, service.KeptFor(decidedBy))
		if err != nil {
			return err
		}
		if head, err = lockHead(ctx, u, seen.ID); err != nil {
			return err
		}
		var set service.Retention
		err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			set, err = getRetention(ctx, q, head.ID)
			return err
		})
		if err != nil {
			return err
		}
		if done = service.Overruled(decidedBy, set); done {
			return errNothingToWrite
		}
		done = head.First == seen.First && service.PlanTrim(to.first, head, decidedBy, positions) == to.first
		if !done {
			return errNothingToWrite
		}
		head.First, head.Bytes = to.first, head.Bytes-to.bytes
		return u.run(ctx, exactly(1, "trim a head", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.TrimHead(ctx, pgsql.TrimHeadParams{
				Bucket: bucketOf(head.ID), TopicID: int64(head.ID), FirstOffset: int64(head.First), Bytes: head.Bytes,
			})
		}))
	})
	if err != nil {
		return service.Head{}, false, err
	}
	return head, done, nil
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
