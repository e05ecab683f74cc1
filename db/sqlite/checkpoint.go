package sqlite

import "context"

const (
	// checkpointBytes is how much the WAL grows between two checkpoints.
	checkpointBytes = 4 << 20
	// transactionBytes is a guess at the pages a transaction writes besides its payloads.
	transactionBytes = 32 << 10
	// truncateFrames is the length at which the WAL is cut, even if readers must be waited for.
	truncateFrames = 16384
)

// walSize is what is known of the WAL's length.
type walSize struct {
	bytes  int64 // written since the last checkpoint, about
	frames int64 // its length at the last checkpoint
}

// checkpoint copies the WAL into the file now and then. SQLite would do so by itself, within some
// COMMIT, but would keep a failure to itself: here a write or sync that fails stops the store.
func (w *writer) checkpoint(ctx context.Context, bytes int64) {
	w.wal.bytes += bytes + transactionBytes
	if w.wal.bytes < checkpointBytes {
		return
	}
	w.wal.bytes = 0
	// PASSIVE waits for no reader. What readers still need keeps the WAL from starting over, so
	// that under reads without a gap it would grow for ever; TRUNCATE waits for them (each is
	// short) up to the busy timeout, and if that was not enough the next one tries again.
	mode := "PRAGMA wal_checkpoint(PASSIVE)"
	if w.wal.frames > truncateFrames {
		mode = "PRAGMA wal_checkpoint(TRUNCATE)"
	}
	var busy, copied int64
	err := w.statements.QueryRowContext(ctx, mode).Scan(&busy, &w.wal.frames, &copied)
	if err == nil {
		return
	}
	if f := classify(err); f.kind >= kindBroken {
		w.stop(err)
		return
	}
	// Without room in the file everything stays in the WAL, and in order.
	w.log.WarnContext(ctx, "the checkpoint failed, it will be tried again", "engine", "sqlite", "error", err)
}
