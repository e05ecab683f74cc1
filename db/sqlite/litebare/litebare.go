// Package litebare does with SQLite alone what a broker does with it, as fast as that goes: the same rows, inserted
// one after another and committed together. `topiq bench --limit` compares a broker with it. It decides nothing and checks
// nothing.
package litebare

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// Writer writes rows like those of one producer into a file of its own. It is of one goroutine.
type Writer struct {
	path    string
	db      *sql.DB
	insert  *sql.Stmt
	payload []byte
	next    int64
}

// Create makes a file beside that of a broker, on the same disk, with the same table of messages, its indexes and its
// durability, that is empty at first. The name tells it from those of other writers.
func Create(ctx context.Context, broker, name string, payload []byte) (*Writer, error) {
	path := broker + "." + name + ".bench"
	if err := remove(path); err != nil {
		return nil, err
	}
	schema, err := schemaOf(ctx, broker)
	if err != nil {
		return nil, err
	}
	db, err := open(path, "rwc")
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, db: db, payload: payload}
	for _, statement := range schema {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, w.Remove())
		}
	}
	w.insert, err = db.PrepareContext(ctx, `INSERT INTO messages (bucket, topic_id, "offset", prod_name, seq, is_binary, size, payload,
		headers, created_at, checksum) VALUES (0, 1, ?, 'bench', ?, 0, ?, ?, x'', ?, 0)`)
	if err != nil {
		return nil, errors.Join(err, w.Remove())
	}
	return w, nil
}

func open(path, mode string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: url.Values{
		"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
	}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// schemaOf are the statements that made the table of messages.
func schemaOf(ctx context.Context, path string) (statements []string, err error) {
	db, err := open(path, "rw")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx,
		"SELECT sql FROM sqlite_schema WHERE tbl_name = 'messages' AND sql IS NOT NULL ORDER BY type DESC")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			return nil, err
		}
		statements = append(statements, statement)
	}
	return statements, rows.Err()
}

// Insert writes n rows, and commits them.
func (w *Writer) Insert(ctx context.Context, n int) (err error) {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	insert, now := tx.StmtContext(ctx, w.insert), time.Now().UnixMicro()
	defer insert.Close() //nolint:errcheck // the transaction closes it too
	for range n {
		if _, err := insert.ExecContext(ctx, w.next, w.next, len(w.payload), w.payload, now); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		w.next++
	}
	return tx.Commit()
}

// Remove closes the file and removes it.
func (w *Writer) Remove() error { return errors.Join(w.db.Close(), remove(w.path)) }

func remove(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
