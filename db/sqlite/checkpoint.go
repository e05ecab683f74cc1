package sqlite

import (
	"context"
	"errors"
)

const (
	// checkpointBytes is how much the WAL grows between two checkpoints.
	checkpointBytes = 4 << 20
	// transactionBytes is a guess at the pages a transaction writes besides its payloads.
	transactionBytes = 32 << 10
	// truncateFrames is the length at which the WAL is cut.
	truncateFrames = 16384
	// truncatePatience is how long that waits for readers, in milliseconds. Writes wait with it.
	truncatePatience = "50"
)

// walSize is what is known of the WAL's length.
type walSize struct {
	bytes  int64 // written since the last checkpoint, about
	frames int64 // its length at the last checkpoint
	uncut  int64 // its length when a reader kept it from being cut
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
	// that under reads without a gap it would grow for ever. TRUNCATE waits for them: most are over
	// at once, and for one that is not, a backup, it tries again when the WAL is twice as long.
	var err error
	if w.wal.frames > max(truncateFrames, 2*w.wal.uncut) {
		err = w.truncate(ctx)
	} else {
		err = w.copyWAL(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		w.wal.uncut = min(w.wal.uncut, w.wal.frames) // it may have started over
	}
	if err == nil {
		w.checkpoints.Add(1)
		return
	}
	w.checkpointFailures.Add(1)
	if f := classify(err); f.kind >= kindBroken {
		w.stop(err)
		return
	}
	// Without room in the file everything stays in the WAL, and in order.
	w.log.WarnContext(ctx, "the checkpoint failed, it will be tried again", "engine", "sqlite", "error", err)
}

func (w *writer) truncate(ctx context.Context) error {
	if err := w.waitAtMost(ctx, truncatePatience); err != nil {
		return err
	}
	err := w.copyWAL(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	w.wal.uncut = w.wal.frames
	return errors.Join(err, w.waitAtMost(ctx, busyTimeout))
}

// copyWAL runs a checkpoint. That it could not do all of its work is no error.
func (w *writer) copyWAL(ctx context.Context, checkpoint string) error {
	var busy, copied int64
	return w.statements.QueryRowContext(ctx, checkpoint).Scan(&busy, &w.wal.frames, &copied)
}

// waitAtMost sets how long the writer waits for a lock.
func (w *writer) waitAtMost(ctx context.Context, millis string) error {
	var set string
	return w.statements.QueryRowContext(ctx, "PRAGMA busy_timeout = "+millis).Scan(&set)
}
