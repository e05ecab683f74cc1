// Package pgbare does with PostgreSQL alone what a broker does with it, as fast as that goes: the same rows
// written by COPY, one row committed, the same rows read. `topiq bench --limit` compares a broker with it. It takes
// no locks, decides nothing and checks nothing.
package pgbare

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Table is a copy of the table of messages, with its indexes and its durability, that is empty at first.
type Table struct {
	url  string
	name string
	next atomic.Int64 // the offset after the last row
}

// Create makes the table, in the database of a broker.
func Create(ctx context.Context, url, name string) (*Table, error) {
	t := &Table{url: url, name: name}
	return t, t.exec(ctx, "CREATE TABLE "+t.quoted()+" (LIKE messages INCLUDING ALL)")
}

// Drop takes the table away.
func (t *Table) Drop(ctx context.Context) error { return t.exec(ctx, "DROP TABLE "+t.quoted()) }

func (t *Table) quoted() string { return pgx.Identifier{t.name}.Sanitize() }

func (t *Table) exec(ctx context.Context, sql string) error {
	c, err := pgx.Connect(ctx, t.url)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql)
	return errors.Join(err, c.Close(ctx))
}

// Writer is one connection that writes rows like those of one producer. It is of one goroutine.
type Writer struct {
	table   *Table
	conn    *pgx.Conn
	name    string
	payload []byte
	seq     int64
	columns []string
	insert  string
}

// Writer opens a connection. name must be another one for each writer of a table.
func (t *Table) Writer(ctx context.Context, name string, payload []byte) (*Writer, error) {
	c, err := pgx.Connect(ctx, t.url)
	if err != nil {
		return nil, err
	}
	return &Writer{
		table: t, conn: c, name: name, payload: payload,
		columns: []string{
			"bucket", "topic_id", "offset", "prod_name", "seq", "is_binary", "size", "payload", "headers", "created_at", "checksum",
		},
		insert: "INSERT INTO " + t.quoted() + ` (bucket, topic_id, "offset", prod_name, seq, is_binary, size, payload, headers, ` +
			"created_at, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	}, nil
}

// row is the next one, at an offset.
func (w *Writer) row(offset int64, now time.Time) []any {
	w.seq++
	return []any{
		int32(0), int64(1), offset, w.name, w.seq - 1, false, int64(len(w.payload)), w.payload, []byte{}, now, offset,
	}
}

// Copy writes n rows by COPY, and commits them.
func (w *Writer) Copy(ctx context.Context, n int) error {
	offset, now := w.table.next.Add(int64(n))-int64(n), time.Now()
	written, err := w.conn.CopyFrom(ctx, pgx.Identifier{w.table.name}, w.columns, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return w.row(offset+int64(i), now), nil
	}))
	if err == nil && written != int64(n) {
		err = fmt.Errorf("COPY wrote %d rows of %d", written, n)
	}
	return err
}

// Insert writes one row, and commits it.
func (w *Writer) Insert(ctx context.Context) error {
	_, err := w.conn.Exec(ctx, w.insert, w.row(w.table.next.Add(1)-1, time.Now())...)
	return err
}

// Close closes the connection.
func (w *Writer) Close(ctx context.Context) error { return w.conn.Close(ctx) }

// Reader is one connection that reads the messages of a topic. It is of one goroutine.
type Reader struct {
	conn   *pgx.Conn
	bucket int32
	topic  int64
}

// OpenReader opens a connection to the database of a broker.
func OpenReader(ctx context.Context, url, topic string) (*Reader, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	r := &Reader{conn: c}
	err = c.QueryRow(ctx, "SELECT bucket, topic_id FROM topics WHERE name = $1", topic).Scan(&r.bucket, &r.topic)
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return r, nil
}

// Read reads as many messages from an offset on as there are below limit more, with all that an answer of the broker tells of them.
func (r *Reader) Read(ctx context.Context, offset, limit int64) (messages, bytes int64, err error) {
	rows, err := r.conn.Query(ctx, `SELECT "offset", prod_name, seq, is_binary, payload, headers, created_at, checksum FROM messages
		WHERE bucket = $1 AND topic_id = $2 AND "offset" >= $3 AND "offset" < $4 ORDER BY "offset"`, r.bucket, r.topic, offset, offset+limit)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	const payload = 4 // the column
	for rows.Next() {
		messages++
		bytes += int64(len(rows.RawValues()[payload]))
	}
	return messages, bytes, rows.Err()
}

// Close closes the connection.
func (r *Reader) Close(ctx context.Context) error { return r.conn.Close(ctx) }
