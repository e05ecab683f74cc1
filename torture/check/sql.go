package check

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/topiq/topiq/torture/history"
)

// SQL reads the store itself, by SQL, and makes what it finds another content of each topic, so that
// it is compared with what the brokers showed and what clients were told. It also checks what only
// the tables show: heads, counters, positions.
func SQL(ctx context.Context, store string, final *Final) (f Findings, err error) {
	db, postgres, err := open(store)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if !postgres {
		var result string
		if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&result); err != nil {
			return f, err
		}
		if result != "ok" {
			f.Otherwise("SQLite's integrity_check says: %s", result)
		}
	}
	entries, err := readEntries(ctx, db)
	if err != nil {
		return f, err
	}
	found := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		topic := final.Topics[e.name]
		if topic == nil {
			continue // of another sort of client
		}
		found[e.name] = true
		t := &table{db: db, postgres: postgres, bucket: e.bucket, id: e.id}
		if err := t.messages(ctx, &e.content); err != nil {
			return f, err
		}
		topic.Contents = append(topic.Contents, e.content)
		if err := t.consumers(ctx, topic, e.name, &f); err != nil {
			return f, err
		}
		if err := t.producers(ctx, topic, e.name, &f); err != nil {
			return f, err
		}
	}
	for name := range final.Topics {
		if !found[name] {
			f.say(&f.Lost, "I1: topic %s is shown by a broker and is not in the database", name)
		}
	}
	return f, nil
}

// entry is a topic and its head.
type entry struct {
	bucket, id int64
	name       string
	content    Content
}

func readEntries(ctx context.Context, db *sql.DB) (entries []entry, err error) {
	rows, err := db.QueryContext(ctx, `SELECT t.bucket, t.topic_id, t.name, h.incarnation, h.first_offset, h.next_offset
		FROM topics t JOIN heads h ON h.bucket = t.bucket AND h.topic_id = t.topic_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		e := entry{content: Content{Source: "SQL"}}
		if err := rows.Scan(&e.bucket, &e.id, &e.name, &e.content.Incarnation, &e.content.First, &e.content.Next); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

func open(store string) (db *sql.DB, postgres bool, err error) {
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		db, err = sql.Open("sqlite", "file:"+path+"?mode=ro")
		return db, false, err
	}
	db, err = sql.Open("pgx", store)
	return db, true, err
}

// table reads the rows of one topic.
type table struct {
	db         *sql.DB
	postgres   bool
	bucket, id int64
}

func (t *table) query(ctx context.Context, query string) (*sql.Rows, error) {
	if !t.postgres {
		query = strings.NewReplacer("$1", "?1", "$2", "?2").Replace(query)
	}
	return t.db.QueryContext(ctx, query, t.bucket, t.id)
}

func (t *table) messages(ctx context.Context, content *Content) error {
	created := "created_at"
	if t.postgres {
		created = "(extract(epoch FROM created_at) * 1000000)::bigint"
	}
	rows, err := t.query(ctx, `SELECT "offset", coalesce(prod_name, ''), coalesce(seq, -1), CASE WHEN is_binary THEN 1 ELSE 0 END,
		payload, headers, `+created+` FROM messages WHERE bucket = $1 AND topic_id = $2 ORDER BY "offset"`)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var m history.Message
		var isBinary int
		var payload, headers []byte
		if err := rows.Scan(&m.Offset, &m.Name, &m.Seq, &isBinary, &payload, &headers, &m.Created); err != nil {
			return err
		}
		var decoded map[string]string
		if len(bytes.TrimSpace(headers)) > 0 {
			if err := json.Unmarshal(headers, &decoded); err != nil {
				return fmt.Errorf("headers of offset %d: %w", m.Offset, err)
			}
		}
		m.Content = history.DigestOf(isBinary == 1, payload, decoded)
		if m.Offset >= content.First { // below is what retention has still to sweep
			content.Messages = append(content.Messages, m)
		}
	}
	return rows.Err()
}

// consumers checks the positions: what the last graceful end flushed is what brokers showed.
func (t *table) consumers(ctx context.Context, topic *Topic, name string, f *Findings) error {
	rows, err := t.query(ctx, `SELECT name, "offset" FROM consumers WHERE bucket = $1 AND topic_id = $2 AND name IS NOT NULL`)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	stored := map[string]int64{}
	for rows.Next() {
		var consumer string
		var offset int64
		if err := rows.Scan(&consumer, &offset); err != nil {
			return err
		}
		stored[consumer] = offset
	}
	for consumer, shown := range topic.Consumers {
		if offset, ok := stored[consumer]; !ok {
			f.say(&f.Lost, "I11: consumer %s of %s is not in the database", consumer, name)
		} else if offset < shown { // more may have been pending in another broker
			f.Otherwise("I11: consumer %s of %s is at %d in the database, and a broker said %d", consumer, name, offset, shown)
		}
	}
	topic.Consumers = stored
	return rows.Err()
}

func (t *table) producers(ctx context.Context, topic *Topic, name string, f *Findings) error {
	rows, err := t.query(ctx, `SELECT name, epoch, next_seq, count FROM producers WHERE bucket = $1 AND topic_id = $2 AND name IS NOT NULL`)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var producer string
		var p Producer
		if err := rows.Scan(&producer, &p.Epoch, &p.NextSeq, &p.Count); err != nil {
			return err
		}
		if shown, ok := topic.Producers[producer]; ok && shown != p {
			f.Otherwise("producer %s of %s is %+v in the database, and the broker said %+v", producer, name, p, shown)
		}
	}
	return rows.Err()
}

// Sessions waits until no session of the database is in a transaction or waits for a lock, and
// returns what still does at the deadline.
func Sessions(ctx context.Context, database string, deadline time.Time) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	for {
		var busy, total int
		err := conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state <> 'idle' OR wait_event_type = 'Lock'), count(*)
			FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&busy, &total)
		switch {
		case err != nil:
			return err
		case busy == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d of %d sessions of the database are still in a transaction", busy, total)
		}
		pause(ctx)
	}
}
