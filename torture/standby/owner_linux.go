package standby

import (
	"os"
	"syscall"
)

type owner struct{ uid, gid int }

// ownerOf says whose a file is.
func ownerOf(path string) (owner, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return owner{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return owner{uid: int(st.Uid), gid: int(st.Gid)}, nil
}
