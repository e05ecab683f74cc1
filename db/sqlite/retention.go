package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// Retention implements service.RetentionStore.
func (s *Store) Retention(ctx context.Context, topic service.TopicID) (service.Retention, error) {
	kept, err := retention(ctx, s.read, topic)
	return kept, s.failed(err)
}

func retention(ctx context.Context, q *litesql.Queries, topic service.TopicID) (service.Retention, error) {
	row, err := q.GetRetention(ctx, litesql.GetRetentionParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
	if errors.Is(err, sql.ErrNoRows) {
		return service.Retention{}, nil
	}
	if err != nil {
		return service.Retention{}, err
	}
	return retentionOf(row)
}

func retentionOf(row litesql.GetRetentionRow) (service.Retention, error) {
	kept := service.Retention{
		MaxAge:   time.Duration(row.MaxAgeSeconds) * time.Second,
		MaxBytes: row.MaxBytes, MaxMessages: row.MaxMessages,
	}
	if err := json.Unmarshal([]byte(row.KeepFor), &kept.KeepFor); err != nil {
		return service.Retention{}, fmt.Errorf("stored keep_for: %w", err)
	}
	return kept, nil
}

// SetRetention implements service.RetentionStore.
func (s *Store) SetRetention(
	ctx context.Context, topic service.TopicName, change service.RetentionChange,
) (service.Head, service.Retention, error) {
	var head service.Head
	var kept service.Retention
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if head, err = tx.own(ctx, topic); err != nil {
			return err
		}
		before, err := retention(ctx, tx.Queries, head.ID)
		if err != nil {
			return err
		}
		kept = change.Apply(before)
		return tx.setRetention(ctx, head.ID, kept)
	})
	if err != nil {
		return service.Head{}, service.Retention{}, err
	}
	return head, kept, nil
}

// setRetention sets what is kept of a topic. One that keeps everything has no row.
func (t *tx) setRetention(ctx context.Context, topic service.TopicID, kept service.Retention) error {
	bucket, id := bucketOf(topic), int64(topic)
	if kept.IsZero() {
		_, err := t.DeleteRetention(ctx, litesql.DeleteRetentionParams{Bucket: bucket, TopicID: id})
		return err
	}
	names := "[]"
	if len(kept.KeepFor) > 0 {
		text, err := jsonOf(kept.KeepFor)
		if err != nil {
			return err
		}
		names = text
	}
	return t.SetRetention(ctx, litesql.SetRetentionParams{
		Bucket: bucket, TopicID: id, MaxAgeSeconds: int64(kept.MaxAge / time.Second),
		MaxBytes: kept.MaxBytes, MaxMessages: kept.MaxMessages, KeepFor: names,
	})
}

// ListRetained implements service.RetentionStore.
func (s *Store) ListRetained(ctx context.Context, after service.TopicID, limit int) ([]service.Retained, error) {
	rows, err := s.read.ListRetained(ctx, litesql.ListRetainedParams{
		Bucket: bucketOf(after), After: int64(after), MaxRows: int64(limit),
	})
	if err != nil {
		return nil, s.failed(err)
	}
	topics := make([]service.Retained, len(rows))
	for i, row := range rows {
		kept, err := retentionOf(litesql.GetRetentionRow{
			MaxAgeSeconds: row.MaxAgeSeconds, MaxBytes: row.MaxBytes, MaxMessages: row.MaxMessages, KeepFor: row.KeepFor,
		})
		if err != nil {
			return nil, s.failed(err)
		}
		topics[i] = service.Retained{ID: service.TopicID(row.TopicID), Name: service.TopicName(row.Name), Retention: kept}
	}
	return topics, nil
}

// FindExcess implements service.RetentionStore.
func (s *Store) FindExcess(
	ctx context.Context, topic service.TopicID, from service.Offset, bytes int64, limit int,
) (service.Offset, error) {
	until, err := s.read.FindExcess(ctx, litesql.FindExcessParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), FromOffset: int64(from),
		UntilOffset: int64(from) + int64(limit), Bytes: bytes,
	})
	return service.Offset(until), s.failed(err)
}

// keepers reads the positions of those of the named consumers of a topic that exist.
func keepers(
	ctx context.Context, q *litesql.Queries, topic service.TopicID, names []string,
) (map[string]service.Offset, error) {
	positions := make(map[string]service.Offset, len(names))
	if len(names) == 0 {
		return positions, nil
	}
	parameter, err := jsonOf(names)
	if err != nil {
		return nil, err
	}
	rows, err := q.FindKeepers(ctx, litesql.FindKeepersParams{
		Bucket: bucketOf(topic), TopicID: int64(topic), Names: parameter,
	})
	for _, row := range rows {
		positions[row.Name] = service.Offset(row.Offset)
	}
	return positions, err
}

// Touch implements service.RetentionStore.
func (s *Store) Touch(
	ctx context.Context, producers []service.ProducerID, consumers []service.ConsumerID, at time.Time,
) error {
	if len(producers)+len(consumers) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		for _, id := range producers {
			if _, err := tx.TouchProducer(ctx, litesql.TouchProducerParams{
				At: micros(at), Bucket: bucketOf(id), ProducerID: int64(id),
			}); err != nil {
				return err
			}
		}
		for _, id := range consumers {
			if _, err := tx.TouchConsumer(ctx, litesql.TouchConsumerParams{
				At: micros(at), Bucket: bucketOf(id), ConsumerID: int64(id),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetUnused implements service.RetentionStore. Who is unused is read outside the transaction, for that
// reads all there are, and asked again in it.
func (s *Store) ForgetUnused(ctx context.Context, since time.Time, limit int) (int, error) {
	for ctx.Err() == nil {
		consumers, err := s.read.ListUnusedConsumers(ctx, litesql.ListUnusedConsumersParams{
			Since: micros(since), MaxRows: int64(limit),
		})
		if err != nil {
			return 0, s.failed(err)
		}
		producers, err := s.read.ListUnusedProducers(ctx, litesql.ListUnusedProducersParams{
			Since: micros(since), MaxRows: int64(limit - len(consumers)),
		})
		if err != nil {
			return 0, s.failed(err)
		}
		if len(consumers)+len(producers) == 0 {
			return 0, nil
		}
		if n, err := s.forget(ctx, producers, consumers, micros(since)); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, s.failed(ctx.Err())
}

func (s *Store) forget(
	ctx context.Context, producers []litesql.ListUnusedProducersRow, consumers []litesql.ListUnusedConsumersRow, since int64,
) (int, error) {
	removed := int64(0)
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		for _, row := range consumers {
			n, err := tx.ForgetConsumer(ctx, litesql.ForgetConsumerParams{
				Bucket: row.Bucket, ConsumerID: row.ConsumerID, Since: since,
			})
			if err != nil {
				return err
			}
			removed += n
		}
		for _, row := range producers {
			n, err := tx.ForgetProducer(ctx, litesql.ForgetProducerParams{
				Bucket: row.Bucket, ProducerID: row.ProducerID, Since: since,
			})
			if err != nil {
				return err
			}
			removed += n
		}
		return nil
	})
	return int(removed), err
}
