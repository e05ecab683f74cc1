package sqlite

import (
	"os"

	"github.com/topiq/topiq/service"
)

var _ service.Measured = (*Store)(nil)

// Stats implements service.Measured.
func (s *Store) Stats() service.StoreStats {
	return service.StoreStats{File: &service.FileStats{
		Bytes: size(s.path), WALBytes: size(s.path + "-wal"),
		Checkpoints: s.writer.checkpoints.Load(), CheckpointFailures: s.writer.checkpointFailures.Load(),
	}}
}

// size is 0 for a file that is not there: a WAL that nothing was written to.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
