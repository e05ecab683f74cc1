// Package faultfs is a file system that does what it is told: it passes everything through to a directory, and fails, delays
// or refuses the calls that a rule names. It is a FUSE file system in this process, mounted without fusermount, so it
// needs Linux, root and /dev/fuse, and says so where they are missing.
//
// The library lets the kernel bypass us: a file handle that offers its descriptor is read and written by the kernel alone,
// and one that offers a vectored write gets no plain one. A hook on such a handle looks right and never fires. The handles
// of this package offer exactly the calls that [handle] has, and every rule counts how often it has fired.
package faultfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// FS is a mounted file system. Its methods may be called from any goroutine.
type FS struct {
	mountPoint string
	server     *fuse.Server

	mu    sync.Mutex
	rules []*Rule
}

// Check says what is missing to mount such a file system.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("faultfs: failing file systems need root to be mounted; run this as root")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("faultfs: this kernel or container has no FUSE (%w): run this on a machine that has it", err)
	}
	return f.Close()
}

// Mount makes the directory backing appear at mountPoint, which has to exist. The caller must Unmount.
func Mount(backing, mountPoint string) (*FS, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(backing, &st); err != nil {
		return nil, fmt.Errorf("faultfs: %s: %w", backing, err)
	}
	f := &FS{mountPoint: mountPoint}
	data := &fs.LoopbackRoot{Path: backing, Dev: st.Dev}
	root := &node{LoopbackNode: fs.LoopbackNode{RootData: data}, fs: f}
	data.RootNode = root
	second := time.Second
	server, err := fs.Mount(mountPoint, root, &fs.Options{
		// Nobody but us changes the directory underneath.
		AttrTimeout: &second, EntryTimeout: &second,
		MountOptions: fuse.MountOptions{
			AllowOther: true, DirectMountStrict: true, DisableXAttrs: true,
			FsName: "faultfs", Name: "faultfs",
			Options: []string{"default_permissions"}, // PostgreSQL's account meets the permissions it would meet below
		},
	})
	if err != nil {
		return nil, fmt.Errorf("faultfs: mount %s: %w", mountPoint, err)
	}
	f.server = server
	return f, nil
}

// Path is a name below the mount point.
func (f *FS) Path(elements ...string) string {
	return filepath.Join(append([]string{f.mountPoint}, elements...)...)
}

// unmountTimeout bounds the wait for users of the file system that were killed a moment ago.
const unmountTimeout = 20 * time.Second

// Unmount takes the file system away. Who still uses it after twenty seconds meets errors from then on.
func (f *FS) Unmount() error {
	deadline := time.Now().Add(unmountTimeout)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f.server.Unmount()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			if detachErr := syscall.Unmount(f.mountPoint, syscall.MNT_DETACH|syscall.MNT_FORCE); detachErr != nil {
				return fmt.Errorf("faultfs: unmount %s: %w", f.mountPoint, errors.Join(err, detachErr))
			}
			return fmt.Errorf("faultfs: %s was still in use: %w", f.mountPoint, err)
		}
		<-ticker.C
	}
	f.server.Wait()
	return nil
}
