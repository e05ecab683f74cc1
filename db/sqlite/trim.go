package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// sweepBytes is how much of payloads one Sweep removes at most: SQLite reads every page of a long
// payload to free it, and produces wait meanwhile.
const sweepBytes = 4 << 20

// Trim implements service.MessageStore. What becomes invisible is counted before the transaction,
// so that however much it is, the writer does not wait for it: those messages never change, and
// nothing but another Trim takes any away, which is seen by the first offset.
func (s *Store) Trim(
	ctx context.Context, topic service.TopicID, before service.Offset, decidedBy ...service.Retention,
) (service.Head, error) {
	for {
		seen, err := get(ctx, s.read, topic)
		if err != nil {
			return service.Head{}, s.failed(err)
		}
		positions, err := keepers(ctx, s.read, topic, service.KeptFor(decidedBy))
		if err != nil {
			return service.Head{}, s.failed(err)
		}
		first := service.PlanTrim(before, seen, decidedBy, positions)
		if first == seen.First {
			return seen, nil
		}
		bytes, err := s.read.SumSizes(ctx, litesql.SumSizesParams{
			Bucket: bucketOf(topic), TopicID: int64(topic),
			FromOffset: int64(seen.First), UntilOffset: int64(first),
		})
		if err != nil {
			return service.Head{}, s.failed(err)
		}
		head, done, err := s.moveFirst(ctx, seen, trimmed{first, bytes}, decidedBy)
		if err != nil || done {
			return head, err
		}
	}
}

// trimmed is where the first offset is to go, and how many bytes become invisible by that.
type trimmed struct {
	first service.Offset
	bytes int64
}

// moveFirst moves the first offset, unless it is not where it was seen, or must not go so far any more.
func (s *Store) moveFirst(
	ctx context.Context, seen service.Head, to trimmed, decidedBy []service.Retention,
) (head service.Head, done bool, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if head, err = get(ctx, tx.Queries, seen.ID); err != nil {
			return err
		}
		set, err := retention(ctx, tx.Queries, seen.ID)
		if err != nil {
			return err
		}
		if done = service.Overruled(decidedBy, set); done {
			return errUnchanged
		}
		positions, err := keepers(ctx, tx.Queries, seen.ID, service.KeptFor(decidedBy))
		if err != nil {
			return err
		}
		done = head.First == seen.First && service.PlanTrim(to.first, head, decidedBy, positions) == to.first
		if !done {
			return errUnchanged
		}
		head.First, head.Bytes = to.first, head.Bytes-to.bytes
		return affected(tx.TrimHead(ctx, litesql.TrimHeadParams{
			Bucket: bucketOf(head.ID), TopicID: int64(head.ID), FirstOffset: int64(head.First), Bytes: head.Bytes,
		}))
	})
	if err != nil {
		return service.Head{}, false, err
	}
	return head, done, nil
}

// Sweep implements service.TopicStore. What to remove is chosen outside the transaction: nothing
// leads to those rows any more, so nothing changes them.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	if limit <= 0 {
		return 0, nil
	}
	for {
		head, err := s.read.FindTrimmedHead(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return s.sweepDeleted(ctx, int64(limit))
		}
		if err != nil {
			return 0, s.failed(err)
		}
		rows, err := s.sweepTrimmed(ctx, head, int64(limit))
		if err != nil || rows > 0 {
			return rows, err
		}
	}
}

func (s *Store) sweepTrimmed(ctx context.Context, head litesql.FindTrimmedHeadRow, limit int64) (int, error) {
	part, bytes, err := s.batch(ctx, litesql.ListSizesParams{
		Bucket: head.Bucket, TopicID: head.TopicID,
		FromOffset: head.SweptOffset, UntilOffset: head.FirstOffset, MaxRows: limit,
	})
	if err != nil {
		return 0, err
	}
	var rows int64
	err = s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		tx.bytes += bytes
		if rows, err = tx.SweepMessages(ctx, part); err != nil {
			return err
		}
		// No row if the topic was deleted since: then its messages go as those of a deleted one.
		_, err = tx.SetSwept(ctx, litesql.SetSweptParams{
			Bucket: head.Bucket, TopicID: head.TopicID, SweptOffset: part.UntilOffset,
		})
		return err
	})
	return int(rows), err
}

// sweepDeleted removes rows of one deleted topic, and at last the note of it.
func (s *Store) sweepDeleted(ctx context.Context, limit int64) (int, error) {
	topic, err := s.read.FindDeletedTopic(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, s.failed(err)
	}
	part, bytes, err := s.batch(ctx, litesql.ListSizesParams{
		Bucket: topic.Bucket, TopicID: topic.TopicID, UntilOffset: service.MaxInteger, MaxRows: limit,
	})
	if err != nil {
		return 0, err
	}
	var rows int64
	err = s.writer.do(ctx, func(ctx context.Context, tx *tx) (err error) {
		tx.bytes += bytes
		rows, err = tx.sweepTopic(ctx, topic, part, limit)
		return err
	})
	return int(rows), err
}

func (t *tx) sweepTopic(
	ctx context.Context, topic litesql.FindDeletedTopicRow, part litesql.SweepMessagesParams, limit int64,
) (int64, error) {
	if rows, err := t.SweepMessages(ctx, part); err != nil || rows > 0 {
		return rows, err
	}
	if rows, err := t.SweepProducers(ctx, litesql.SweepProducersParams{
		Bucket: topic.Bucket, TopicID: topic.TopicID, MaxRows: limit,
	}); err != nil || rows > 0 {
		return rows, err
	}
	if rows, err := t.SweepConsumers(ctx, litesql.SweepConsumersParams{
		Bucket: topic.Bucket, TopicID: topic.TopicID, MaxRows: limit,
	}); err != nil || rows > 0 {
		return rows, err
	}
	return t.DeleteDeletedTopic(ctx, litesql.DeleteDeletedTopicParams(topic))
}

// batch chooses the first messages of a range: at most MaxRows, and sweepBytes unless the first has
// more. If the range has none, it is the whole range. bytes is their size.
func (s *Store) batch(
	ctx context.Context, of litesql.ListSizesParams,
) (part litesql.SweepMessagesParams, bytes int64, err error) {
	part = litesql.SweepMessagesParams{
		Bucket: of.Bucket, TopicID: of.TopicID, FromOffset: of.FromOffset, UntilOffset: of.UntilOffset,
	}
	rows, err := s.read.ListSizes(ctx, of)
	if err != nil {
		return part, 0, s.failed(err)
	}
	for i, row := range rows {
		if i > 0 && bytes+row.Size > sweepBytes {
			break
		}
		bytes += row.Size
		part.UntilOffset = row.Offset + 1
	}
	return part, bytes, nil
}
