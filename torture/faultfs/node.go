package faultfs

import (
	"context"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is a file or directory. What it does not say itself it leaves to the loopback.
type node struct {
	fs.LoopbackNode

	fs *FS
}

// WrapChild makes every file and directory below one of ours as well.
func (n *node) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, fs: n.fs}
}

// relative is the path below the mount point.
func (n *node) relative() string { return n.Path(n.Root()) }

// Open opens a file and wraps its handle.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	opened, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return n.wrap(opened, n.relative()), fuseFlags, 0
}

// Create makes a file and wraps its handle.
func (n *node) Create(
	ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut,
) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, opened, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return inode, n.wrap(opened, filepath.Join(n.relative(), name)), fuseFlags, 0
}

// Tmpfile is refused: its handle would be one that is not ours.
func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EOPNOTSUPP
}

// CopyFileRange is refused, so that the kernel copies with reads and writes, which meet the rules.
func (n *node) CopyFileRange(
	context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64,
) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

// Fsync syncs a directory, or a file by its handle.
func (n *node) Fsync(ctx context.Context, opened fs.FileHandle, flags uint32) syscall.Errno {
	if file, ok := opened.(fs.FileFsyncer); ok {
		return file.Fsync(ctx, flags)
	}
	path := n.relative()
	if errno := n.fs.apply(ctx.Done(), Fsync, path); errno != 0 {
		return errno
	}
	fd, err := unix.Open(filepath.Join(n.RootData.Path, path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fs.ToErrno(err)
	}
	defer func() { _ = unix.Close(fd) }()
	return fs.ToErrno(unix.Fsync(fd))
}

func (n *node) wrap(opened fs.FileHandle, path string) fs.FileHandle {
	file, ok := opened.(*fs.LoopbackFile)
	if !ok {
		return nil // the loopback has no other handles; nobody could read or write through none
	}
	return &handle{file: file, fs: n.fs, path: path}
}

// handle is an open file. It does not embed the library's: that has methods by which the kernel or the library would get
// around ours (PassthroughFd, Writev), and a later version may have more.
type handle struct {
	file *fs.LoopbackFile
	fs   *FS
	path string
}

// Read reads, unless a rule says otherwise.
func (h *handle) Read(ctx context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := h.fs.apply(ctx.Done(), Read, h.path); errno != 0 {
		return nil, errno
	}
	return h.file.Read(ctx, buf, off)
}

// Write writes, unless a rule says otherwise.
func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := h.fs.apply(ctx.Done(), Write, h.path); errno != 0 {
		return 0, errno
	}
	return h.file.Write(ctx, data, off)
}

// Allocate counts as a write: a full disk refuses it as well.
func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if errno := h.fs.apply(ctx.Done(), Write, h.path); errno != 0 {
		return errno
	}
	return h.file.Allocate(ctx, off, size, mode)
}

// Fsync syncs, unless a rule says otherwise.
func (h *handle) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno := h.fs.apply(ctx.Done(), Fsync, h.path); errno != 0 {
		return errno
	}
	return h.file.Fsync(ctx, flags)
}

// Getattr is passed through.
func (h *handle) Getattr(ctx context.Context, out *fuse.AttrOut) syscall.Errno {
	return h.file.Getattr(ctx, out)
}

// Setattr is passed through.
func (h *handle) Setattr(ctx context.Context, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return h.file.Setattr(ctx, in, out)
}

// Lseek is passed through.
func (h *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	return h.file.Lseek(ctx, off, whence)
}

// Flush is passed through.
func (h *handle) Flush(ctx context.Context) syscall.Errno { return h.file.Flush(ctx) }

// Release closes the file.
func (h *handle) Release(ctx context.Context) syscall.Errno { return h.file.Release(ctx) }
