package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/topiq/topiq/gen/litesql"
)

// startsSuffix is what the name of the file has at its end that is kept beside a store: how often a
// broker has started on it, and the id it had then. A copy of the store has the counter of the time
// when it was made. Put back, it is behind the file beside it, and is known for what it is: an older
// history, in which what was acknowledged since is missing (P13).
const startsSuffix = ".starts"

// start is one start of a broker on a store.
type start struct {
	fileID string
	starts int64
}

// readStarts reads what is kept beside a store. Where there is nothing, or nothing that makes sense,
// it answers false: the store is then taken for a copy, which costs new incarnations and loses
// nothing.
func readStarts(path string) (start, bool, error) {
	f, err := os.Open(path + startsSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return start{}, false, nil
	}
	if err != nil {
		return start{}, false, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return start{}, false, err
	}
	var s start
	if _, err := fmt.Sscanf(string(text), "%d %s\n", &s.starts, &s.fileID); err != nil || s.starts < 1 {
		return start{}, false, nil
	}
	return s, true, nil
}

// writeStarts replaces what is kept beside a store, durably: under another name first, so that it is
// never half there.
func writeStarts(path string, s start) (err error) {
	unfinished := path + startsSuffix + newSuffix
	f, err := os.OpenFile(unfinished, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d %s\n", s.starts, s.fileID)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path+startsSuffix); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// next is the start after what the store and the file beside it say. The store keeps its id, unless it
// is not, or not surely, the one that a broker has started on last: then every topic in it is foreign.
// The counter is raised beyond both, so that the same copy is known again when it is put back once more.
func next(stored, beside start, found bool, newID func() string) start {
	to := start{fileID: stored.fileID, starts: max(stored.starts, beside.starts) + 1}
	if !found || stored.starts < beside.starts || stored.fileID != beside.fileID {
		to.fileID = newID()
	}
	return to
}

// begin counts a start, in the store first: a broker that dies in between leaves the store ahead of
// the file beside it, which says nothing against the store. The other way round, each such death
// would make it look like a copy.
//
// Heads that were written before they had an identity are taken to belong to this store, whatever its
// id is now.
func (w *writer) begin(ctx context.Context, path string, c Config) error {
	beside, found, err := readStarts(path)
	if err != nil {
		return fmt.Errorf("read %s%s: %w", path, startsSuffix, err)
	}
	var stored, to start
	err = w.do(ctx, func(ctx context.Context, tx *tx) error {
		row, err := tx.GetStore(ctx)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		stored = start{row.FileID, row.Starts}
		to = next(stored, beside, found, c.Identity)
		if err := tx.StartStore(ctx, litesql.StartStoreParams{FileID: to.fileID, Starts: to.starts}); err != nil {
			return err
		}
		_, err = tx.AdoptHeads(ctx, to.fileID)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := emptyWAL(ctx, w.conn); err != nil {
		return err
	}
	if stored.starts > 0 && stored.fileID != to.fileID {
		w.log.WarnContext(ctx, "the file was put back from a copy, or the file beside it is missing; "+
			"its topics will get new incarnations", slog.String("engine", "sqlite"), slog.String("file", path),
			slog.Int64("starts", stored.starts), slog.Int64("starts_beside", beside.starts))
	}
	if err := writeStarts(path, to); err != nil {
		return fmt.Errorf("write %s%s: %w", path, startsSuffix, err)
	}
	return nil
}
