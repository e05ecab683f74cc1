package nemesis

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/topiq/topiq/torture/disk"
	"github.com/topiq/topiq/torture/faultfs"
	"github.com/topiq/topiq/torture/history"
)

// diskNemeses are those that work on file systems, standbys and control groups.
func diskNemeses() []Nemesis {
	return []Nemesis{
		powerCutPostgres(), powerCutSQLite(), diskFull(), fsyncError(),
		failover(), laggingFailover(), badFile(), memoryLimit(), wrongOperator(),
	}
}

// LoopDisk is the need of disks that can lose power, of either file system.
func LoopDisk() Need {
	return Need{"disks over loop devices", func() error { return errors.Join(disk.Check(disk.Ext4), disk.Check(disk.XFS)) }}
}

// Fuse is the need of file systems that fail on demand.
func Fuse() Need { return Need{"FUSE", faultfs.Check} }

// fileSystem makes rounds take turns.
func (r *Round) fileSystem() disk.FileSystem {
	if r.Seed%2 == 0 {
		return disk.Ext4
	}
	return disk.XFS
}

// sameOwner gives a directory to the account that owns another.
func sameOwner(of, path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(of, &st); err != nil {
		return &os.PathError{Op: "stat", Path: of, Err: err}
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}

// since counts the requests to produce that were made after a time of the history and are as wanted.
func (r *Round) since(at int64, is func(*history.Op) bool) (n int) {
	for _, op := range r.workloads[0].Recorder().Ops() {
		if op.Kind == history.Produce && op.Invoke >= at && is(op) {
			n++
		}
	}
	return n
}

func acked(op *history.Op) bool { return op.Outcome == history.OK }

func refused(op *history.Op) bool { return op.Status >= 500 }

// hasCode is about operations that were refused with a code.
func hasCode(code string) func(*history.Op) bool {
	return func(op *history.Op) bool { return op.Code == code }
}

// copyStore copies an SQLite file that nobody writes to, with its WAL.
func copyStore(from, to string) error {
	for _, suffix := range []string{"", "-wal"} {
		err := copyFile(from+suffix, to+suffix)
		if suffix != "" && errors.Is(err, os.ErrNotExist) {
			err = removeFile(to + suffix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// removeFile removes a file that may be there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}
