//go:build root

package disk_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/topiq/topiq/torture/disk"
)

// each runs a test on a new disk of either kind.
func each(t *testing.T, test func(t *testing.T, d *disk.Disk)) {
	t.Helper()
	for kind, size := range map[disk.FileSystem]int64{disk.Ext4: 32 << 20, disk.XFS: disk.MinXFSBytes} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			d, err := disk.Create(t.Context(), t.TempDir(), kind, size)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			})
			test(t, d)
		})
	}
}

func write(t *testing.T, path, content string, sync bool) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was synced is there after the power was cut and has come back; what was not has gone; and a sync after the cut fails.
func TestCutKeepsWhatWasSyncedAndNothingElse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *disk.Disk) {
		t.Helper()
		for range 3 {
			kept, lost := filepath.Join(d.Path(), "kept"), filepath.Join(d.Path(), "lost")
			write(t, kept, "synced", true)
			dir, err := os.Open(d.Path())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
				t.Fatal(err)
			}
			write(t, lost, "not synced", false)
			open, err := os.OpenFile(kept, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Cut(); err != nil {
				t.Fatal(err)
			}
			_, writeErr := open.WriteString("after the cut")
			if err := errors.Join(writeErr, open.Sync()); err == nil {
				t.Error("a write and a sync after the cut succeeded")
			}
			_ = open.Close()
			if err := d.PowerBack(t.Context()); err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(kept); err != nil || string(content) != "synced" {
				t.Errorf("what was synced reads %q, %v", content, err)
			}
			if content, err := os.ReadFile(lost); err == nil && bytes.Contains(content, []byte("not synced")) {
				t.Error("what was not synced is still there: the cut has kept the page cache")
			}
			if err := os.RemoveAll(lost); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A full disk says so, and has room again afterwards.
func TestFillLeavesNoRoom(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *disk.Disk) {
		t.Helper()
		if err := d.Fill(0); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(d.Path(), "more")
		f, err := os.Create(path)
		if err == nil {
			for err == nil {
				_, err = f.Write(make([]byte, 64<<10))
				if err == nil {
					err = f.Sync()
				}
			}
			_ = f.Close()
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing to the full disk ended with %v, want ENOSPC", err)
		}
		if err := d.Free(); err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.Repeat("room", 1<<18), true)
	})
}

// What a dead run has left is removed by the next, and what a living one uses is not. Beside other tests the lock that is
// dropped here would live on for a moment in a child that another test is just forking.
//
//nolint:paralleltest // see above
func TestCreateRemovesWhatDeadRunsLeft(t *testing.T) {
	base := t.TempDir()
	living, err := disk.Create(t.Context(), base, disk.Ext4, disk.MinExt4Bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = living.Remove() })
	dead, err := disk.Create(t.Context(), base, disk.Ext4, disk.MinExt4Bytes)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel gives the lock back when its owner has died; here the test does.
	path := filepath.Dir(dead.Path())
	disk.DropLock(dead)

	next, err := disk.Create(t.Context(), base, disk.Ext4, disk.MinExt4Bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Remove() })
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the dead run is still there: %v", err)
	}
	write(t, filepath.Join(living.Path(), "file"), "still mine", true)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), path) {
		t.Error("the disk of the dead run is still mounted")
	}
}

// A disk with a user that does not go is not unmounted behind its back, and is removed all the same.
func TestRemoveDoesNotWaitForUsers(t *testing.T) {
	t.Parallel()
	d, err := disk.Create(t.Context(), t.TempDir(), disk.Ext4, disk.MinExt4Bytes)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(d.Path(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Unmount(ctx); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("unmounting under an open file: %v, want EBUSY", err)
	}
	path := d.Path()
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the mount point is still there")
	}
}
