package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/topiq/topiq/gen/litesql"
)

// Backup writes a copy of the store in a file to another file, which must not exist yet: one state of all
// topics, synced. A broker may serve the store meanwhile, from this process or another one; its WAL grows
// until the copy is there.
//
// The copy has an id of its own. Wherever it is put, even back in the place of the store within the same
// start of its broker, the first start on it finds that it is not the file that was used last, and its
// topics get new incarnations (P13): what was acknowledged since the copy was made is missing in it.
func Backup(ctx context.Context, path, to string) error {
	from, err := resolve(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	target, err := resolve(to)
	if err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-journal", startsSuffix} {
		if _, err := os.Lstat(target + suffix); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sqlite: %s%s exists: a copy never replaces anything", target, suffix)
		}
	}
	unfinished := target + newSuffix
	f, err := os.OpenFile(unfinished, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	err = writeCopy(ctx, from, unfinished)
	if err == nil {
		err = name(unfinished, target)
	}
	if err != nil {
		return fmt.Errorf("sqlite: %w", errors.Join(err, os.Remove(unfinished)))
	}
	return syncDir(filepath.Dir(target))
}

// writeCopy writes all of a store into an empty file.
func writeCopy(ctx context.Context, from, to string) error {
	if err := vacuumInto(ctx, from, to); err != nil {
		return err
	}
	if err := estrange(ctx, to); err != nil {
		return err
	}
	// SQLite syncs no file that VACUUM INTO writes.
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// vacuumInto has SQLite write a copy. It reads in one transaction, which a broker's writes go on beside; the
// other way to copy, SQLite's backup interface, begins anew with each of them.
//
// Where a broker has the store, it is read without the right to write: whoever closes a WAL last copies it
// into the file, and that is the broker's affair, which first makes sure that the WAL is whole. Where none has,
// its lock is held here, and the WAL that a killed broker may have left is checked as a broker does.
func vacuumInto(ctx context.Context, from, to string) (err error) {
	lock := flock.New(from+".lock", flock.SetPermissions(0o600))
	alone, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s.lock: %w", from, err)
	}
	mode := "ro"
	if alone {
		defer func() { err = errors.Join(err, lock.Close()) }()
		if err := prepare(ctx, from); err != nil {
			return err
		}
		mode = "rw"
	}
	db, err := handle(from, mode, []setting{{"busy_timeout", busyTimeout, busyTimeout}, {"synchronous", "FULL", "2"}})
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := recognize(ctx, db); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return err
}

// estrange gives a copy an id that no store has.
func estrange(ctx context.Context, path string) error {
	db, err := handle(path, "rw", []setting{{"synchronous", "FULL", "2"}})
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	queries := litesql.New(db)
	row, err := queries.GetStore(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return errors.Join(err, db.Close())
	}
	err = queries.StartStore(ctx, litesql.StartStoreParams{FileID: rand.Text(), Starts: max(row.Starts, 1)})
	return errors.Join(err, db.Close())
}
