//go:build unix

package sqlite

import (
	"os/signal"
	"syscall"
)

// limitFileSize makes the kernel refuse to let files grow beyond a size (EFBIG).
func limitFileSize(bytes uint64) (restore func(), err error) {
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return nil, err
	}
	now := was
	now.Cur = bytes
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
		return nil, err
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was) }, nil
}
