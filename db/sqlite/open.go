package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"

	"github.com/topiq/topiq/fault"
)

// applicationID is in the header of every file of ours: "topq".
const applicationID = 0x746F7071

//go:embed migrations/*.sql
var migrations embed.FS

// busyTimeout is how long a connection waits for a lock, in milliseconds.
const busyTimeout = "5000"

// writerSettings are those of the connection that writes, and what each must read as afterwards.
// A checkpoint is ours to make (see writer.checkpoint). fullfsync matters on macOS alone, where a
// plain fsync does not reach the disk.
func writerSettings() []setting {
	return spoiled([]setting{
		{"busy_timeout", busyTimeout, busyTimeout},
		{"journal_mode", "WAL", "wal"},
		{"synchronous", "FULL", "2"},
		{"fullfsync", "1", "1"},
		{"checkpoint_fullfsync", "1", "1"},
		{"wal_autocheckpoint", "0", "0"},
		{"locking_mode", "NORMAL", "normal"},
	})
}

func readerSettings() []setting {
	return []setting{
		{"busy_timeout", busyTimeout, busyTimeout},
		{"query_only", "1", "1"},
	}
}

type setting struct{ name, value, reads string }

// handle returns one whose connections have the settings. mode is SQLite's: rw or rwc.
func handle(path, mode string, settings []setting) (*sql.DB, error) {
	values := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_dqs": {"false"}, "_error_rc": {"true"}}
	for _, s := range settings {
		values.Add("_pragma", s.name+"("+s.value+")")
	}
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // C:/…
	}
	uri := url.URL{Scheme: "file", Path: name, RawQuery: values.Encode()}
	connector, err := driver.NewConnector(uri.String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// check reads settings back: SQLite answers a setting it does not follow with silence.
func check(ctx context.Context, conn *sql.Conn, settings []setting) error {
	for _, s := range settings {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+s.name).Scan(&got); err != nil {
			return fmt.Errorf("read back %s: %w", s.name, err)
		}
		if got != s.reads {
			return fmt.Errorf("SQLite did not take %s=%s (it is %s): "+
				"what was acknowledged might be lost; it does not start like this", s.name, s.value, got)
		}
	}
	return nil
}

// initialize makes a complete, empty store under the name given.
func initialize(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600) // SQLite gives its other files the same mode
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := handle(path, "rw", writerSettings())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	if err == nil {
		err = migrate(ctx, db)
	}
	if err == nil {
		err = emptyWAL(ctx, db) // the WAL does not come along when the file is renamed
	}
	return errors.Join(err, db.Close())
}

// rowQuerier is a connection or a pool of one.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// emptyWAL copies all of the WAL into the file and syncs it.
func emptyWAL(ctx context.Context, on rowQuerier) error {
	var busy, frames, copied int64
	err := on.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &copied)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if busy != 0 {
		return errors.New("another process reads the file and keeps its WAL from being copied; end it first")
	}
	return nil
}

// openWriter opens the connection that writes, on a file that is there.
func openWriter(ctx context.Context, path string, c Config) (*writer, error) {
	db, err := handle(path, "rw", writerSettings())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	w := &writer{db: db, log: c.Logger, slot: make(chan struct{}, 1)}
	if err := w.start(ctx, path, c); err != nil {
		if w.conn != nil {
			err = errors.Join(err, w.conn.Close())
		}
		return nil, fmt.Errorf("sqlite: %s: %w", path, errors.Join(err, db.Close()))
	}
	return w, nil
}

func (w *writer) start(ctx context.Context, path string, c Config) error {
	if err := recognize(ctx, w.db); err != nil {
		return err
	}
	if err := migrate(ctx, w.db); err != nil {
		return err
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	w.conn = conn
	w.statements = &statements{on: conn}
	if err := check(ctx, conn, writerSettings()); err != nil {
		return err
	}
	return w.settle(ctx, path, c)
}

// settle makes durable what the file shows. A broker that was killed between the write and the
// sync of a commit has left frames in the WAL that SQLite finds whole, and shows, while they are
// only in the memory of the operating system: to answer a retry from them ("stored before") would
// promise what the next loss of power takes away. If that sync had even failed, the pages count as
// written though they are not, and no later sync of the WAL writes them. So all of it is copied
// into the file and synced there, before anybody is served.
func (w *writer) settle(ctx context.Context, path string, c Config) error {
	return w.begin(ctx, path, c)
}

// recognize refuses what is not a store, before anything is written to it.
func recognize(ctx context.Context, db *sql.DB) error {
	var id int64
	err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	if err == nil {
		var tables int64
		err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)
	}
	if err != nil {
		if classify(err).kind == kindDamaged {
			return fmt.Errorf("the database is damaged or truncated; it is left as it is: %w", err)
		}
		return err
	}
	if id != applicationID {
		return fmt.Errorf("an SQLite database of another program (application_id %#x); it is left as it is", id)
	}
	return nil
}

// migrate brings the schema to the version of this program. The lock file keeps others out.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return fmt.Errorf("written by a newer version of topiq (schema %d, this one knows %d)", current, target)
	}
	for {
		_, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err == nil {
			err = fault.Point("migrate.between_steps")
		}
		if err != nil {
			return fmt.Errorf("migrate the schema: %w", err)
		}
	}
}

// openReaders opens the pool for everything that only reads.
func openReaders(ctx context.Context, path string, connections int) (*sql.DB, error) {
	db, err := handle(path, "rw", readerSettings())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	conn, err := db.Conn(ctx)
	if err == nil {
		err = errors.Join(check(ctx, conn, readerSettings()), conn.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, errors.Join(err, db.Close()))
	}
	return db, nil
}
