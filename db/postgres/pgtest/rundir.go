package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	runDirPrefix = "topiq-pg-"
	// maxTempDirBytes keeps the path of the socket under the 104 bytes which
	// the strictest system allows; the prefix, a random number and the name
	// of the socket come on top.
	maxTempDirBytes = 60
	// logTailBytes is how much of the server's log an error message carries.
	logTailBytes = 4096
)

// runDir is the directory of one cluster: data, log, socket and a lock file.
// The lock is held as long as this process lives, so a directory whose lock
// is free belongs to nobody. A process id in its place could have been given
// to another process, or mean another one in another container.
type runDir struct {
	path    string
	account *syscall.Credential
	lock    *os.File
}

func (d *runDir) data() string { return filepath.Join(d.path, "data") }
func (d *runDir) log() string  { return filepath.Join(d.path, "log") }

// newRunDir removes what dead test runs have left and makes a new directory.
// It does not use the directory of a test, whose name is as long as the
// test's: the path of a Unix socket is limited to about a hundred bytes.
func newRunDir(account *syscall.Credential) (*runDir, error) {
	base := os.TempDir()
	if len(base) > maxTempDirBytes {
		base = "/tmp"
	}
	removeStale(base)

	path, err := os.MkdirTemp(base, runDirPrefix)
	if err != nil {
		return nil, err
	}
	d := &runDir{path: path, account: account}
	if err := d.acquire(); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// acquire gives the directory to the server's account and locks it. The lock
// file gets its name after the lock is held: otherwise a test run that starts
// in between would find a directory whose lock is free, and remove it.
func (d *runDir) acquire() error {
	lock, err := os.Create(filepath.Join(d.path, "lock.new"))
	if err != nil {
		return err
	}
	d.lock = lock
	if err := flock(lock); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := os.Rename(lock.Name(), lockFile(d.path)); err != nil {
		return err
	}
	if d.account == nil {
		return nil
	}
	return os.Chown(d.path, int(d.account.Uid), int(d.account.Gid))
}

func (d *runDir) remove() error {
	err := os.RemoveAll(d.path)
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

func (d *runDir) logTail() string {
	content, err := os.ReadFile(d.log())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTailBytes):])
}

// removeStale removes the directories of test runs that were killed together
// with the supervisor of their server. Such a server may still run; it looks
// for its lock file every minute and ends when that has gone. What cannot be
// opened belongs to another user and is left alone.
func removeStale(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, runDirPrefix+"*"))
	for _, dir := range dirs {
		lock, err := os.Open(lockFile(dir))
		if err != nil {
			continue
		}
		if flock(lock) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// flock takes the lock or fails at once.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// serverAccount returns the account to run the server as, or nil for our own:
// PostgreSQL refuses to run as root.
func serverAccount() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}
