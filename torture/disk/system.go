package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// shutdownRequest is FS_IOC_SHUTDOWN: _IOR('X', 125, __u32). With noLogFlush the journal is not written either.
const (
	shutdownRequest = 0x8004587d
	noLogFlush      = 2
)

// tryEvery is the pause between two attempts to unmount.
const tryEvery = 20 * time.Millisecond

// Check says what is missing to make a disk of this kind, in a sentence for who runs the suite.
func Check(kind FileSystem) error {
	if kind != Ext4 && kind != XFS {
		return fmt.Errorf("disk: there is no file system %q, only %s and %s", kind, Ext4, XFS)
	}
	if os.Geteuid() != 0 {
		return errors.New("disk: power cuts and full disks need root: they mount images over loop devices; run this as root")
	}
	for _, program := range []string{"mount", "mkfs." + string(kind)} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("disk: %s is missing: run torture/install.sh as root, or install e2fsprogs and xfsprogs", program)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("disk: this kernel or container has no loop devices (%w): run this on a machine that has them", err)
	}
	return nil
}

func run(ctx context.Context, program string, args ...string) error {
	//nolint:gosec // the programs are named in this package
	if output, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("disk: %s %s: %w: %s", program, strings.Join(args, " "), err, output)
	}
	return nil
}

func shutDown(mountPoint string) error {
	dir, err := os.Open(mountPoint) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return unix.IoctlSetPointerInt(int(dir.Fd()), shutdownRequest, noLogFlush) //nolint:gosec // a small number
}

func syncAll(mountPoint string) error {
	dir, err := os.Open(mountPoint) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return unix.Syncfs(int(dir.Fd())) //nolint:gosec // a small number
}

// unmount tries until nobody uses the file system any more: a process that was killed is gone a little later than its
// parent learns of it.
func unmount(ctx context.Context, mountPoint string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(tryEvery)
	defer ticker.Stop()
	for {
		err := unix.Unmount(mountPoint, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("still in use after %s: %w", patience, err)
		}
	}
}

// detach takes whatever is mounted there out of the tree, whoever uses it: who still has a file open keeps the file system
// alive, but no longer the name.
func detach(mountPoint string) error {
	for {
		err := unix.Unmount(mountPoint, unix.MNT_DETACH)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // nothing is mounted there any more
		case err != nil:
			return err
		}
	}
}

func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:gosec // our disks are small
}

// occupy makes a file of so many bytes, or of as many as there is room for, without writing them.
func occupy(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	// Blocks that say where the blocks are need room as well, so the last steps get smaller and smaller.
	for step := bytes; bytes >= 4096 && step >= 4096; {
		step = min(step, bytes)
		err := unix.Fallocate(int(f.Fd()), 0, size, step) //nolint:gosec // a small number
		if errors.Is(err, unix.ENOSPC) {
			step /= 2
			continue
		}
		if err != nil {
			return err
		}
		size += step
		bytes -= step
	}
	return f.Sync()
}
