package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	runDirPrefix = "topiq-disk-"
	lockName     = "lock"
)

// runDir is the directory of one disk: the image, the directory it is mounted on, and a lock file. The lock is held as long
// as this process lives, so a directory whose lock is free belongs to a run that has died. A process id in its place could
// have been given to another process since.
type runDir struct {
	path string
	lock *os.File
}

func (r *runDir) image() string      { return filepath.Join(r.path, "image") }
func (r *runDir) mountPoint() string { return filepath.Join(r.path, "mnt") }

// newRunDir removes what dead runs have left and makes a new directory.
func newRunDir(base string) (*runDir, error) {
	if base == "" {
		base = os.TempDir()
	}
	// A mount point is known to the kernel by its true name.
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		return nil, err
	}
	if err := removeStale(base); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(base, runDirPrefix)
	if err != nil {
		return nil, err
	}
	r := &runDir{path: path}
	// The server's account has to get through to the mount point.
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // see above
		return nil, errors.Join(err, r.remove())
	}
	if err := r.acquire(); err != nil {
		return nil, errors.Join(err, r.remove())
	}
	return r, nil
}

// acquire locks the directory. The lock file gets its name when the lock is held: otherwise a run that starts in between
// would find a directory whose lock is free, and remove it.
func (r *runDir) acquire() error {
	unnamed := filepath.Join(r.path, lockName+".new")
	lock, err := os.OpenFile(unnamed, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	r.lock = lock
	if err := flock(lock); err != nil {
		return fmt.Errorf("lock %s: %w", unnamed, err)
	}
	return os.Rename(unnamed, filepath.Join(r.path, lockName))
}

// remove unmounts the disk, whoever uses it, and removes the directory. The kernel's list of mounts is not asked: read while
// others mount and unmount, it may leave one out.
func (r *runDir) remove() error {
	if err := detach(r.mountPoint()); err != nil {
		return fmt.Errorf("detach %s: %w", r.mountPoint(), err)
	}
	err := os.RemoveAll(r.path)
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
		r.lock = nil
	}
	return err
}

// removeStale removes the directories of runs that have died with their disk mounted. A directory that cannot be opened
// belongs to somebody else, or is being made, and is left alone.
func removeStale(base string) error {
	paths, err := filepath.Glob(filepath.Join(base, runDirPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if flock(lock) != nil {
			_ = lock.Close()
			continue
		}
		stale := &runDir{path: path, lock: lock}
		if err := stale.remove(); err != nil {
			return fmt.Errorf("remove what a dead run has left in %s: %w", path, err)
		}
	}
	return nil
}

// flock takes the lock or fails at once.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is a small number
}
