package postgres

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/service"
)

const (
	// commitLimit is how long a caller waits for the answer to a COMMIT. Then its outcome is unknown,
	// and whoever may ask again does so on another connection (P9). That costs little where this one
	// was merely slow: the second attempt waits for the locks of the first. But it is all that
	// notices a connection that takes what it is given and passes nothing on, for the keep-alives of
	// such a one are answered.
	commitLimit = 5 * time.Second
	// strandedLimit is how long a COMMIT that was given up may keep its connection. The server ends
	// it for a dead client within seconds, except while it waits for a standby, and that wait is
	// worth nothing to us once somebody has asked again.
	strandedLimit = 10 * time.Minute
)

// finish commits the transaction on a connection and gives the connection back.
func (s *Store) finish(ctx context.Context, conn *pgxpool.Conn) error {
	slow := time.NewTimer(commitLimit)
	defer slow.Stop()
	return s.finishUnless(ctx, conn, slow.C)
}

// finishUnless runs COMMIT under a context that is not the caller's, whose end must not end the wait for
// the standby. A COMMIT that takes too long is not ended either but left to its goroutine, until the
// server answers, or its keep-alives do not, or strandedLimit has passed. The pool is given the place of
// its connection, and opens another. But only so many may be left like that as the pool has places: with
// a standby that is dead each would be one more, and in the end the server would let nobody in. Those
// that are too many keep their place until they end.
//
// A connection whose COMMIT did not succeed is not used again: the next attempt is made on another one.
func (s *Store) finishUnless(ctx context.Context, conn *pgxpool.Conn, slow <-chan time.Time) error {
	ctx, cancel := context.WithCancel(commitContext(ctx))
	used, done := conn.Conn(), make(chan error, 1)
	s.commits.Go(func() { done <- commitUncancelled(ctx, used) })
	select {
	case err := <-done:
		cancel()
		if err == nil {
			conn.Release()
			return nil
		}
		conn.Hijack() // pgx waits for the server's goodbye, which the pool need not
		s.commits.Go(func() { closeConn(ctx, used) })
		if lostServer(err) {
			s.forgetServer(ctx, err)
		}
		return err
	case <-slow:
		free := conn.Release
		select {
		case s.stranded <- struct{}{}:
			conn.Hijack()
			free = func() { <-s.stranded }
		default:
		}
		s.writes.Reset() // they may be as dead; those for reads find that out by themselves
		s.commits.Go(func() {
			defer cancel()
			s.awaitStranded(ctx, used, done, cancel)
			free()
		})
		return service.ErrOutcomeUnknown.Because(errCommitSlow)
	}
}

// awaitStranded waits for the end of a COMMIT that was given up, and closes its connection.
func (s *Store) awaitStranded(ctx context.Context, conn *pgx.Conn, done <-chan error, cancel context.CancelFunc) {
	limit := time.NewTimer(strandedLimit)
	defer limit.Stop()
	var err error
	select {
	case err = <-done:
	case <-limit.C:
		cancel()
		err = <-done
	case <-s.closing: // which must not wait for ever
		cancel()
		err = <-done
	}
	s.log.InfoContext(ctx, "a commit that was given up has ended", "engine", "postgres", "error", err)
	closeConn(ctx, conn)
}

// closeConn says goodbye on a connection, and does not wait long for somebody to hear it.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	_ = conn.Close(ctx)
}

// committingKey is where a connection keeps whether it may be in the middle of a COMMIT.
const committingKey = "topiq_committing"

// commitUncancelled commits, and lets nobody cancel it. When a connection is lost or a context ends,
// pgx dials once more and asks the server to cancel what it runs. That does not undo a COMMIT which
// waits for the standby: the server stops waiting, shows the rows to everybody and says success, though
// the standby does not have them.
func commitUncancelled(ctx context.Context, conn *pgx.Conn) error {
	committing, _ := conn.PgConn().CustomData()[committingKey].(*atomic.Bool)
	committing.Store(true)
	err := commit(ctx, conn)
	if !conn.IsClosed() { // else pgx may be about to dial
		committing.Store(false)
	}
	return err
}

// refuseCancels prepares a connection for commitUncancelled.
func refuseCancels(config *pgx.ConnConfig) {
	watchContexts(config)
	committing, dial := &atomic.Bool{}, config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if committing.Load() && !fault.Mistake("commit_on_request_context") {
			return nil, errNoCancel
		}
		return dial(ctx, network, address)
	}
	config.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[committingKey] = committing
		return nil
	}
}

// commit sends COMMIT and says whether it is known to have succeeded (P8).
func commit(ctx context.Context, conn *pgx.Conn) error {
	if conn.IsClosed() { // the last moment at which nothing has happened for certain
		return service.ErrUnavailable.Because(pgconn.ErrConnClosed)
	}
	delete(conn.PgConn().CustomData(), warningKey)
	tag, err := conn.Exec(ctx, "commit")
	warning, _ := conn.PgConn().CustomData()[warningKey].(*pgconn.Notice)
	return verdict(tag.String(), err, warning)
}

// verdict judges the answer to a COMMIT. A warning may mean that the standby does not have the
// transaction. No kind of error is taken to mean that nothing was sent, whatever it says of itself:
// pgx v5.12.0 reports a connection that is lost while it waits for an answer as "conn closed", for
// which pgconn.SafeToRetry is true.
func verdict(tag string, err error, warning *pgconn.Notice) error {
	switch {
	case err != nil:
		return service.ErrOutcomeUnknown.Because(err)
	case warning != nil && !fault.Mistake("commit_on_request_context"):
		return service.ErrOutcomeUnknown.Because(
			fmt.Errorf("%w: %s %s", errCommitWarning, warning.Code, warning.Message))
	case tag != "COMMIT":
		return service.ErrOutcomeUnknown.Because(fmt.Errorf("%w, it answered %q", errCommitTag, tag))
	}
	return nil
}

// warningKey is where a connection keeps the last warning it got.
const warningKey = "topiq_warning"

// keepWarning is called by pgx for each notice, from within the call that reads it.
func keepWarning(conn *pgconn.PgConn, n *pgconn.Notice) {
	severity := n.SeverityUnlocalized
	if severity == "" {
		severity = n.Severity
	}
	switch severity {
	case "NOTICE", "DEBUG", "INFO", "LOG":
	default:
		conn.CustomData()[warningKey] = n
	}
}
