package sqlite

import (
	"fmt"
	"syscall"
)

// checkFileSystem refuses a network file system, and names what weakens the promise of another.
func checkFileSystem(dir string) (unsafe []string, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("statfs: %w", err)
	}
	return judgeFileSystem(uint32(st.Type)) //nolint:gosec // 32 bits everywhere, in types that differ
}

// judgeFileSystem knows the types of statfs(2), as in the kernel's magic.h.
func judgeFileSystem(kind uint32) (unsafe []string, err error) {
	if name := network(kind); name != "" {
		return nil, fmt.Errorf("is on a network file system (%s), where SQLite is not safe; use a local disk", name)
	}
	switch kind {
	case 0x01021994, 0x858458F6:
		return []string{"file system in memory: lost when the machine restarts"}, nil
	case 0x65735546:
		return []string{"file system fuse: it is not known whether it keeps what was synced"}, nil
	}
	return nil, nil
}

// network names the file systems that do not keep what SQLite needs of one: locks that every host
// sees, shared memory, a sync that reaches the disk.
func network(kind uint32) string {
	return map[uint32]string{
		0x00006969: "nfs", 0x0000517B: "smb", 0xFF534D42: "cifs", 0xFE534D42: "smb2",
		0x0000564C: "ncp", 0x5346414F: "afs", 0x6B414653: "afs", 0x73757245: "coda",
		0x00C36400: "ceph", 0x01021997: "9p", 0x0BD00BD0: "lustre", 0x47504653: "gpfs",
		0x01161970: "gfs2", 0x7461636F: "ocfs2", 0xAAD7AAEA: "panfs", 0x19830326: "beegfs",
		0x786F4256: "vboxsf",
	}[kind]
}
