package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// readMessages is not one of sqlc's queries because those read all rows before they answer: here
// the bytes decide where to stop. The head is read in the same snapshot: what is below its first
// offset is trimmed, even while its row is there, and without a head there is no topic.
const readMessages = `SELECT m."offset", m.prod_name, m.seq, m.is_binary, m.payload, m.headers, m.created_at, m.checksum
FROM heads AS h
CROSS JOIN messages AS m ON m.bucket = h.bucket AND m.topic_id = h.topic_id
WHERE h.bucket = ? AND h.topic_id = ? AND h.first_offset <= ? AND m."offset" >= ?
ORDER BY m."offset"
LIMIT ?`

// Read implements service.MessageStore.
func (s *Store) Read(
	ctx context.Context, topic service.TopicID, from service.Offset, limit int, maxBytes int64,
) ([]service.Message, error) {
	messages, err := read(ctx, s.statements, run{topic, from, limit, maxBytes})
	return messages, s.failed(err)
}

// run is a part of a log.
type run struct {
	topic    service.TopicID
	from     service.Offset
	limit    int
	maxBytes int64
}

func read(ctx context.Context, on litesql.DBTX, r run) (messages []service.Message, err error) {
	if r.limit <= 0 {
		return nil, nil
	}
	rows, err := on.QueryContext(ctx, readMessages,
		bucketOf(r.topic), int64(r.topic), int64(r.from), int64(r.from), int64(r.limit))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, rows.Close()); err != nil {
			messages = nil
		}
	}()
	for rows.Next() {
		var row messageRow
		if err := rows.Scan(&row.offset, &row.prodName, &row.seq, &row.isBinary, &row.payload,
			&row.headers, &row.createdAt, &row.checksum); err != nil {
			return nil, err
		}
		m, err := messageOf(row)
		if err != nil {
			return nil, err
		}
		if row.checksum.Valid {
			if err := service.VerifyChecksum(r.topic, &m, row.headers, &row.checksum.Int64); err != nil {
				return nil, err
			}
		}
		r.maxBytes -= m.Size()
		hole := m.Offset != r.from+service.Offset(len(messages))
		if hole || (r.maxBytes < 0 && len(messages) > 0) {
			break
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// FindTime implements service.MessageStore.
func (s *Store) FindTime(ctx context.Context, topic service.TopicID, t time.Time) (service.Offset, error) {
	head, err := get(ctx, s.read, topic)
	if err != nil {
		return 0, s.failed(err)
	}
	offset, err := service.SearchTime(head.First, head.Next, t, func(at service.Offset) (time.Time, error) {
		created, err := s.read.GetCreatedAt(ctx, litesql.GetCreatedAtParams{
			Bucket: bucketOf(topic), TopicID: int64(topic), AtOffset: int64(at),
		})
		if errors.Is(err, sql.ErrNoRows) {
			return time.Time{}, nil // swept since the head was read
		}
		return timeOf(created), err
	})
	return offset, s.failed(err)
}
