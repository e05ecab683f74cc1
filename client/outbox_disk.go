package client

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// outboxDisk is what an outbox needs of a file system.
type outboxDisk interface {
	// lock takes a lock that ends with the process at the latest.
	lock(path string) (unlock func() error, err error)
	read(path string) ([]byte, error)
	// create makes an empty file, or empties one.
	create(path string) (outboxFile, error)
	// open opens a file that is there, to append.
	open(path string) (outboxFile, error)
	rename(from, to string) error
	// syncDir makes the name of a file durable.
	syncDir(path string) error
}

// outboxFile is a file that is written.
type outboxFile interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// systemDisk is the file system of this machine.
type systemDisk struct{}

// The file may hold what others must not read.
const outboxMode = 0o600

func (systemDisk) lock(path string) (func() error, error) {
	lock := flock.New(path, flock.SetPermissions(outboxMode))
	ok, err := lock.TryLock()
	if err == nil && !ok {
		err = ErrOutboxBusy
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil
}

func (systemDisk) read(path string) ([]byte, error) { return os.ReadFile(path) }

func (systemDisk) create(path string) (outboxFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, outboxMode)
}

func (systemDisk) open(path string) (outboxFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, outboxMode)
}

func (systemDisk) rename(from, to string) error { return os.Rename(from, to) }

func (systemDisk) syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
