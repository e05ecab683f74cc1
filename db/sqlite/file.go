package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// magic is how every SQLite file begins.
const magic = "SQLite format 3\x00"

// headerBytes is how long the header of an SQLite file is.
const headerBytes = 100

// place is a file that is ours alone.
type place struct {
	path   string // absolute, without symbolic links
	lock   *flock.Flock
	unsafe []string
}

// claim finds the file's true name, makes its directory, and locks it for this process. The lock
// is one of the operating system on FILE.lock: it ends with the process, however that ends, and so
// the lock file is never removed (to remove it would let a third broker lock a new one while the
// second still holds the old).
func claim(path string) (place, error) {
	file, err := resolve(path)
	if err != nil {
		return place{}, err
	}
	dir := filepath.Dir(file)
	if err := makeDir(dir); err != nil {
		return place{}, fmt.Errorf("sqlite: directory for %s: %w", file, err)
	}
	unsafe, err := checkFileSystem(dir)
	if err != nil {
		return place{}, fmt.Errorf("sqlite: %s: %w", file, err)
	}
	lock := flock.New(file+".lock", flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return place{}, fmt.Errorf("sqlite: lock %s.lock: %w", file, err)
	}
	if !locked {
		return place{}, fmt.Errorf("sqlite: %s is in use by another broker (it holds %s.lock)", file, file)
	}
	return place{path: file, lock: lock, unsafe: unsafe}, nil
}

// resolve returns the one name of a file: whoever comes by a relative path or a symbolic link must
// meet the same lock, and SQLite must find the same WAL.
func resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("sqlite: no file was named")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlite: %s: %w", path, err)
	}
	if _, err := os.Lstat(abs); err == nil {
		file, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return "", fmt.Errorf("sqlite: %s: a link that leads nowhere: %w", path, err)
		}
		return file, nil
	}
	// The file is to be made. As much of its directory as exists may be links.
	dir, missing := filepath.Dir(abs), filepath.Base(abs)
	for {
		exists, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(exists, missing), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", fmt.Errorf("sqlite: %s: %w", path, err)
		}
		dir, missing = filepath.Dir(dir), filepath.Join(filepath.Base(dir), missing)
	}
}

// makeDir makes a directory and what is missing above it, and syncs where it was added: otherwise
// the power could fail, and the whole directory be gone with what was acknowledged.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// prepare leaves a file that looks like a store, or an error. A missing file is made under another
// name and gets its own when it is complete. So a file under the right name that is empty is never a
// store that was about to be made: it is one that somebody has truncated.
func prepare(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return create(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("sqlite: %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("sqlite: %s is not a regular file", path)
	}
	n := links(info)
	if made, err := os.Lstat(path + newSuffix); n > 1 && err == nil && os.SameFile(made, info) {
		// A broker has died just after it gave the file its name.
		if err := os.Remove(path + newSuffix); err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		n--
	}
	if n > 1 {
		return fmt.Errorf("sqlite: %s has %d names (hard links): "+
			"a broker that opens it by another one would use another lock and another WAL", path, n)
	}
	if err := checkHeader(path, info.Size()); err != nil {
		return err
	}
	return checkWAL(path)
}

func checkHeader(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer func() { _ = f.Close() }()
	begin := make([]byte, headerBytes)
	n, _ := f.ReadAt(begin, 0)
	if !strings.HasPrefix(string(begin[:n]), magic) {
		return fmt.Errorf("sqlite: %s is not an SQLite database (%d bytes): "+
			"it was never one, or it has been truncated or damaged; it is left as it is", path, size)
	}
	// SQLite finds out that whole pages are missing, but not that a part of the last is. While there is a
	// WAL the file may end anywhere: a checkpoint may have been cut short.
	pageBytes := int64(binary.BigEndian.Uint16(begin[16:]))
	if pageBytes == 1 {
		pageBytes = 65536
	}
	wal, err := os.Stat(path + "-wal")
	if (err != nil || wal.Size() == 0) && size < pageBytes*int64(binary.BigEndian.Uint32(begin[28:])) {
		return fmt.Errorf("sqlite: %s: the database is damaged or truncated (it has %d bytes, its header says more); "+
			"it is left as it is", path, size)
	}
	return nil
}

// create makes a new store. The lock is held, so whatever has the other name is left over from a
// broker that died while it did the same.
func create(ctx context.Context, path string) error {
	for _, suffix := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sqlite: %s is missing, but %s%s is there: "+
				"the store has been moved without it; put them together again, or move it away to begin anew",
				path, path, suffix)
		}
	}
	unfinished := path + newSuffix
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(unfinished + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sqlite: create %s: %w", path, err)
		}
	}
	if err := initialize(ctx, unfinished); err != nil {
		return fmt.Errorf("sqlite: create %s: %w", path, err)
	}
	if err := name(unfinished, path); err != nil {
		return fmt.Errorf("sqlite: create %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("sqlite: create %s: %w", path, err)
	}
	return nil
}

// newSuffix is what the name of a store has at its end while it is made.
const newSuffix = ".new"

// name gives a complete store its name, unless something has the name by now: whoever put it there
// does not know our lock, and a rename would destroy it.
func name(unfinished, path string) error {
	err := os.Link(unfinished, path)
	if err == nil {
		return os.Remove(unfinished)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(unfinished, path) // a file system without hard links
}
