package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Retention implements service.RetentionStore.
func (s *Store) Retention(ctx context.Context, topic service.TopicID) (kept service.Retention, err error) {
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		kept, err = getRetention(ctx, q, topic)
		return err
	})
	return kept, err
}

func getRetention(ctx context.Context, q *pgsql.Queries, topic service.TopicID) (service.Retention, error) {
	row, err := q.GetRetention(ctx, pgsql.GetRetentionParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
	if errors.Is(err, pgx.ErrNoRows) {
		return service.Retention{}, nil
	}
	return toRetention(row), err
}

func toRetention(row pgsql.GetRetentionRow) service.Retention {
	return service.Retention{
		MaxAge:   time.Duration(row.MaxAgeSeconds) * time.Second,
		MaxBytes: row.MaxBytes, MaxMessages: row.MaxMessages, KeepFor: row.KeepFor,
	}
}

// SetRetention implements service.RetentionStore.
func (s *Store) SetRetention(
	ctx context.Context, topic service.TopicName, change service.RetentionChange,
) (service.Head, service.Retention, error) {
	var (
		head service.Head
		kept service.Retention
	)
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		var err error
		if head, err = s.lockOwnHead(ctx, u, topic); err != nil {
			return err
		}
		var before service.Retention
		err = u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			before, err = getRetention(ctx, q, head.ID)
			return err
		})
		if err != nil {
			return err
		}
		kept = change.Apply(before)
		return u.run(ctx, writeRetention(head.ID, kept))
	})
	if err != nil {
		return service.Head{}, service.Retention{}, err
	}
	return head, kept, nil
}

// writeRetention makes the statement that sets what is kept of a topic. One that keeps everything has no row.
func writeRetention(topic service.TopicID, kept service.Retention) step {
	return func(ctx context.Context, q *pgsql.Queries) error {
		if kept.IsZero() {
			return deleteRetention(topic)(ctx, q)
		}
		names := kept.KeepFor
		if names == nil {
			names = []string{}
		}
		return q.SetRetention(ctx, pgsql.SetRetentionParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), MaxAgeSeconds: int64(kept.MaxAge / time.Second),
			MaxBytes: kept.MaxBytes, MaxMessages: kept.MaxMessages, KeepFor: names,
		})
	}
}

func deleteRetention(topic service.TopicID) step {
	return func(ctx context.Context, q *pgsql.Queries) error {
		_, err := q.DeleteRetention(ctx, pgsql.DeleteRetentionParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
		return err
	}
}

// ListRetained implements service.RetentionStore.
func (s *Store) ListRetained(
	ctx context.Context, after service.TopicID, limit int,
) (topics []service.Retained, err error) {
	var rows []pgsql.ListRetainedRow
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.ListRetained(ctx, pgsql.ListRetainedParams{
			Bucket: bucketOf(after), After: int64(after), MaxRows: int64(limit),
		})
		return err
	})
	return toAll(rows, func(row pgsql.ListRetainedRow) service.Retained {
		return service.Retained{
			ID: service.TopicID(row.TopicID), Name: service.TopicName(row.Name),
			Retention: toRetention(pgsql.GetRetentionRow{
				MaxAgeSeconds: row.MaxAgeSeconds, MaxBytes: row.MaxBytes, MaxMessages: row.MaxMessages, KeepFor: row.KeepFor,
			}),
		}
	}), err
}

// FindExcess implements service.RetentionStore.
func (s *Store) FindExcess(
	ctx context.Context, topic service.TopicID, from service.Offset, bytes int64, limit int,
) (until service.Offset, err error) {
	err = s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		found, err := q.FindExcess(ctx, pgsql.FindExcessParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), FromOffset: int64(from),
			UntilOffset: int64(from) + int64(limit), Bytes: bytes,
		})
		until = service.Offset(found)
		return err
	})
	return until, err
}

// findKeepers reads the positions of named consumers.
func (s *Store) findKeepers(
	ctx context.Context, topic service.TopicID, names []string,
) (map[string]service.Offset, error) {
	positions := map[string]service.Offset{}
	if len(names) == 0 {
		return positions, nil
	}
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		rows, err := q.FindKeepers(ctx, pgsql.FindKeepersParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), Names: names,
		})
		for _, row := range rows {
			positions[row.Name] = service.Offset(row.Offset)
		}
		return err
	})
	return positions, err
}

// lockKeepers is findKeepers with locks that keep the consumers from going back, held until the unit ends.
func lockKeepers(
	ctx context.Context, u *unit, topic service.TopicID, names []string,
) (map[string]service.Offset, error) {
	positions := map[string]service.Offset{}
	if len(names) == 0 {
		return positions, nil
	}
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) error {
		rows, err := q.LockKeepers(ctx, pgsql.LockKeepersParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), Names: names,
		})
		for _, row := range rows {
			positions[row.Name] = service.Offset(row.Offset)
		}
		return err
	})
	return positions, err
}
