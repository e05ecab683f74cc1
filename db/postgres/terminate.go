package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// backend names the server's side of a connection. A process id alone may by now be somebody else's,
// on this server or, after a failover, on another.
type backend struct {
	pid     int32
	started time.Time
}

// backendKey is where a connection keeps its backend.
const backendKey = "topiq_backend"

// Neither is a query of sqlc, which does not know pg_stat_activity.
const (
	findBackend      = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
	terminateBackend = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
)

func keepBackend(ctx context.Context, conn *pgx.Conn) error {
	var own backend
	if err := conn.QueryRow(ctx, findBackend).Scan(&own.pid, &own.started); err != nil {
		return err
	}
	conn.PgConn().CustomData()[backendKey] = own
	return nil
}

// terminate ends the server's side of a transaction that got no answer before its COMMIT, so that it
// lets go of its locks. Closing our side does not do that where something between us and the server
// passes nothing on. Nor does the server do it by itself, if it has got a part of a round trip: it is
// not idle then, and between two statements no limit for statements runs either.
//
// A transaction whose COMMIT may have been sent is never terminated: that could end its wait for the
// standby, which would show to everybody what the standby does not have.
func (s *Store) terminate(ctx context.Context, conn *pgx.Conn) {
	lost, ok := conn.PgConn().CustomData()[backendKey].(backend)
	if !ok {
		return
	}
	s.writes.Reset() // what it is done on must not be as dead
	s.commits.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tripLimit)
		defer cancel()
		_, err := s.writes.Exec(ctx, terminateBackend, lost.pid, lost.started)
		s.log.InfoContext(ctx, "a transaction got no answer and was terminated", "engine", "postgres",
			"pid", lost.pid, "error", err)
	})
}
