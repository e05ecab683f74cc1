package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// writeTimeout bounds the statements of a transaction, up to its COMMIT. They wait for nobody
// but the disk: only a defect could make them last.
const writeTimeout = 30 * time.Second

// errUnchanged ends a transaction that has nothing to write: rolled back, and no error.
var errUnchanged = errors.New("nothing to write")

// writer is the only connection that writes. It is one connection, never replaced: a new one
// behind our back, as database/sql would make it, would forget that the last one has failed.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements *statements
	log        *slog.Logger

	// slot is held by the one transaction under way; what follows is guarded by it.
	slot chan struct{}
	// full says that the last transaction found no room.
	full bool
	wal  walSize

	// What was done since the start, for figures.
	checkpoints, checkpointFailures atomic.Int64

	// stopped is why nothing is written any more.
	stopped atomic.Pointer[error]
}

// tx is a transaction that holds the write lock.
type tx struct {
	*litesql.Queries
	on *statements
	// bytes is about how much it will add to the WAL.
	bytes int64
}

// do runs work in a transaction and commits it. The context of the caller ends the wait for the
// writer and nothing else: a transaction that was begun is finished by us, whoever still listens.
func (w *writer) do(ctx context.Context, work func(context.Context, *tx) error) error {
	select {
	case w.slot <- struct{}{}:
		defer func() { <-w.slot }()
	case <-ctx.Done():
		return ended(ctx)
	}
	if err := w.refusal(); err != nil {
		return err
	}
	detached := context.WithoutCancel(ctx)
	bounded, cancel := context.WithTimeout(detached, writeTimeout)
	defer cancel()
	if _, err := w.statements.ExecContext(bounded, "BEGIN IMMEDIATE"); err != nil {
		return w.beginFailed(err)
	}
	t := &tx{Queries: litesql.New(w.statements), on: w.statements}
	finished := false
	defer func() {
		if !finished { // work has panicked: the next transaction must not find itself in this one
			_ = w.rollback(detached)
		}
	}()
	err := work(bounded, t)
	finished = true
	if err != nil {
		return w.abandon(detached, err)
	}
	// COMMIT has no deadline: to interrupt it would be to not know.
	if _, err := w.statements.ExecContext(detached, "COMMIT"); err != nil {
		return w.commitFailed(detached, err)
	}
	w.full = false
	w.checkpoint(detached, t.bytes)
	return nil
}

func (w *writer) beginFailed(err error) error {
	f := classify(err)
	// A plain error of BEGIN is that the transaction before this one is still open. Then nobody
	// knows what the next COMMIT would commit.
	if _, isSQLite := resultCode(err); f.kind >= kindBroken || (isSQLite && errors.Is(f.refusal, service.ErrInternal)) {
		w.stop(err)
	}
	return f.refusal
}

// abandon rolls back after an error of the work, or because there is nothing to write.
func (w *writer) abandon(ctx context.Context, err error) error {
	rollback := w.rollback(ctx)
	if errors.Is(err, errUnchanged) {
		if rollback != nil {
			w.stop(rollback)
			return classify(rollback).refusal
		}
		return nil
	}
	f := classify(err)
	switch {
	case f.kind >= kindBroken:
		w.stop(err)
	case f.kind == kindFull:
		w.full = true
	}
	return f.refusal
}

// rollback ends the transaction. SQLite has ended it by itself after some errors (FULL, IOERR,
// NOMEM, INTERRUPT); ROLLBACK then answers that there is none, with the code of any other mistake.
// That need not be told apart here: a transaction that is still open makes the next BEGIN fail.
func (w *writer) rollback(ctx context.Context) error {
	_, err := w.statements.ExecContext(ctx, "ROLLBACK")
	return err
}

// commitFailed decides what an error of COMMIT itself means. If ROLLBACK still finds the
// transaction open, COMMIT did not end it: nothing was committed. Otherwise SQLite has undone it in
// memory, but the file may tell otherwise: when the sync of the WAL fails, the frames are written,
// and whoever opens the file after a crash may find them whole. That is an unknown outcome, and
// nothing more may be written after it (a later sync that succeeds says nothing of the pages that
// the one before has lost).
//
// A full disk is neither: the write of a frame was refused, so the last one, which is the commit,
// was never written, and no sync was tried. The next transaction writes over the same frames.
func (w *writer) commitFailed(ctx context.Context, err error) error {
	f := classify(err)
	rolledBack := w.rollback(ctx) == nil
	switch {
	case f.kind == kindFull:
		w.full = true
		return f.refusal
	case f.kind < kindBroken && rolledBack:
		return f.refusal
	}
	w.stop(err)
	return service.ErrOutcomeUnknown.Because(err)
}

// stop ends all writing, for good: the operator must look at the disk and start the broker again,
// which recovers the file and syncs it anew.
func (w *writer) stop(cause error) {
	if fault.Mistake("sqlite_ignore_ioerr") {
		return
	}
	err := error(service.ErrUnavailable.Because(fmt.Errorf("%w after: %w", service.ErrStopped, cause)))
	if w.stopped.CompareAndSwap(nil, &err) {
		w.log.Error("the store has failed, nothing is written any more", "engine", "sqlite", "error", cause)
	}
}

// refusal answers every write after a stop.
func (w *writer) refusal() error {
	if err := w.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// close waits for the transaction under way.
func (w *writer) close() error {
	w.slot <- struct{}{}
	defer func() { <-w.slot }()
	closed := error(service.ErrUnavailable.Because(errors.New("the store is closed")))
	w.stopped.CompareAndSwap(nil, &closed)
	return errors.Join(w.statements.close(), w.conn.Close(), w.db.Close())
}
