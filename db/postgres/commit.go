package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/service"
)

// commitLimit is how long a caller waits for the answer to a COMMIT.
const commitLimit = 30 * time.Second

// finish commits the transaction on a connection and gives the connection back.
//
// The context it runs under is not the caller's. When a context ends, pgx cancels the statement, and
// cancelling a COMMIT that waits for the standby does not undo it: the server stops waiting, shows
// the rows to everybody and says success, though the standby does not have them. For the same reason
// a COMMIT that takes too long is not interrupted but left to its goroutine, which keeps the
// connection until the server answers or its keep-alives do not.
func (s *Store) finish(ctx context.Context, conn *pgxpool.Conn) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	s.commits.Go(func() {
		defer cancel()
		err := commit(ctx, conn.Conn())
		conn.Release() // before the answer: the caller's next call takes it, and opens no other
		done <- err
	})
	slow := time.NewTimer(commitLimit)
	defer slow.Stop()
	select {
	case err := <-done:
		if err != nil && lostServer(err) {
			s.forgetServer(ctx, err)
		}
		return err
	case <-slow.C:
		s.commits.Go(func() { // for Close, which must not wait for ever
			defer cancel()
			select {
			case <-s.closing:
			case <-ctx.Done():
			}
		})
		return service.ErrOutcomeUnknown.Because(errCommitSlow)
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
	case warning != nil:
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
