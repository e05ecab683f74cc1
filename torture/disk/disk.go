// Package disk makes small disks that lose power and fill up: an image file, a loop device, and ext4 or XFS on it, as the
// kernel has them.
//
// The power goes by the ioctl with which both file systems can be shut down. From then on nothing reaches the image: what
// was not synced stays in memory and is thrown away with it, and every write and sync fails. Mounting again is a recovery of
// the journal, the same that a machine makes after its power has come back. Two things this cannot show: a sector that
// was written by half, and a disk that says "synced" and is not.
//
// It needs Linux, root, loop devices and the two mkfs programs, and says so where they are missing.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// FileSystem is what a disk is formatted with.
type FileSystem string

// The file systems. XFS refuses to be smaller than 300 MiB; the image is sparse, so that this costs nothing.
const (
	Ext4 FileSystem = "ext4"
	XFS  FileSystem = "xfs"
)

// The smallest sizes of a disk in bytes. Ext4 has a journal from a few MiB on.
const (
	MinExt4Bytes = 16 << 20
	MinXFSBytes  = 300 << 20
)

// settleTimeout bounds the wait for a file system that is still in use, by a process that was killed a moment ago.
const settleTimeout = 20 * time.Second

// Disk is one image. It is for one goroutine at a time.
type Disk struct {
	kind    FileSystem
	run     *runDir
	mounted bool
}

// Create makes a disk of so many bytes in a new directory below base (the system's temporary directory if it is empty), and
// mounts it. Before, it removes what runs that died have left there. The caller must Remove the disk.
func Create(ctx context.Context, base string, kind FileSystem, bytes int64) (*Disk, error) {
	if err := Check(kind); err != nil {
		return nil, err
	}
	run, err := newRunDir(base)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	d := &Disk{kind: kind, run: run}
	if err := d.format(ctx, bytes); err != nil {
		return nil, errors.Join(err, d.Remove())
	}
	if err := d.Mount(ctx); err != nil {
		return nil, errors.Join(err, d.Remove())
	}
	return d, nil
}

// Path is the directory where the disk is mounted. It stays the same over Mount and Unmount.
func (d *Disk) Path() string { return d.run.mountPoint() }

// FileSystem is what the disk is formatted with.
func (d *Disk) FileSystem() FileSystem { return d.kind }

func (d *Disk) format(ctx context.Context, bytes int64) error {
	if minimum := map[FileSystem]int64{Ext4: MinExt4Bytes, XFS: MinXFSBytes}[d.kind]; bytes < minimum {
		return fmt.Errorf("disk: %d bytes are too few for %s: it needs %d", bytes, d.kind, minimum)
	}
	if err := os.Mkdir(d.Path(), 0o755); err != nil { //nolint:gosec // a server of another account lives in it
		return fmt.Errorf("disk: %w", err)
	}
	image, err := os.OpenFile(d.run.image(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if err := errors.Join(image.Truncate(bytes), image.Close()); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if d.kind == XFS {
		return run(ctx, "mkfs.xfs", "-q", d.run.image())
	}
	// Without the lazy initialization, which would go on writing for a while after the first mount. Without reserved
	// blocks, which root could go on filling when the disk is full for everybody else.
	return run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.run.image())
}

// Mount makes what is on the disk appear under Path; after a Cut this recovers the journal. The loop device is
// released by the kernel when the last user of the mount has gone.
func (d *Disk) Mount(ctx context.Context) error {
	if d.mounted {
		return fmt.Errorf("disk: %s is mounted already", d.Path())
	}
	options := "loop"
	if d.kind == Ext4 {
		options += ",errors=remount-ro"
	}
	if err := run(ctx, "mount", "-t", string(d.kind), "-o", options, d.run.image(), d.Path()); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// Sync makes everything durable that was written to the disk so far.
func (d *Disk) Sync() error {
	if err := syncAll(d.Path()); err != nil {
		return fmt.Errorf("disk: sync %s: %w", d.Path(), err)
	}
	return nil
}

// Cut takes the power away. Whoever uses the disk goes on running, and meets errors; kill it, then Unmount and Mount.
func (d *Disk) Cut() error {
	if !d.mounted {
		return fmt.Errorf("disk: cut: %s is not mounted", d.Path())
	}
	if err := shutDown(d.Path()); err != nil {
		return fmt.Errorf("disk: cut %s: %w", d.Path(), err)
	}
	return nil
}

// Unmount waits until nobody uses the disk any more, for at most 20 seconds.
func (d *Disk) Unmount(ctx context.Context) error {
	if !d.mounted {
		return nil
	}
	if err := unmount(ctx, d.Path(), settleTimeout); err != nil {
		return fmt.Errorf("disk: unmount %s: %w", d.Path(), err)
	}
	d.mounted = false
	return nil
}

// PowerBack is Unmount and Mount, for use after a Cut, when whoever used the disk has ended.
func (d *Disk) PowerBack(ctx context.Context) error {
	if err := d.Unmount(ctx); err != nil {
		return err
	}
	return d.Mount(ctx)
}

// ballast is the file that fills the disk.
func (d *Disk) ballast() string { return filepath.Join(d.Path(), "ballast") }

// Fill takes up all the room of the disk but for so many bytes. What is left may be some blocks less.
func (d *Disk) Fill(leave int64) error {
	free, err := freeBytes(d.Path())
	if err != nil {
		return fmt.Errorf("disk: fill: %w", err)
	}
	if free <= leave {
		return nil
	}
	if err := occupy(d.ballast(), free-leave); err != nil {
		return fmt.Errorf("disk: fill %s: %w", d.Path(), err)
	}
	return nil
}

// Free gives back what Fill took.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("disk: free: %w", err)
	}
	return nil
}

// FreeBytes is the room that is left.
func (d *Disk) FreeBytes() (int64, error) { return freeBytes(d.Path()) }

// Remove unmounts the disk, whoever may still use it, and removes every trace of it. It may be called more than once.
func (d *Disk) Remove() error {
	if d.run == nil {
		return nil
	}
	r := d.run
	if err := r.remove(); err != nil {
		return fmt.Errorf("disk: remove: %w", err)
	}
	d.run, d.mounted = nil, false
	return nil
}
