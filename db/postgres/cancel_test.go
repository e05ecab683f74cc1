package postgres

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// lossyConn is a connection to be lost. It tells when pgx says goodbye on it: that is after the moment
// at which pgx would ask the server to cancel.
type lossyConn struct {
	net.Conn
	lost    atomic.Bool
	goodbye chan struct{}
	once    sync.Once
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.lost.Load() {
		c.once.Do(func() { close(c.goodbye) })
	}
	return c.Conn.Write(b)
}

// lose ends what can be read. The server notices nothing.
func (c *lossyConn) lose(t *testing.T) {
	t.Helper()
	conn, ok := c.Conn.(*net.UnixConn)
	if !ok {
		t.Fatalf("a connection is a %T", c.Conn)
	}
	if err := conn.CloseRead(); err != nil {
		t.Error(err)
	}
}

// TestNothingCancelsACommit: a commit that waits for its standby goes on waiting, whatever becomes of the
// broker's end of it. To cancel it would show the rows to everybody, though no standby has them.
func TestNothingCancelsACommit(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *waiting){
		"its connection is lost": func(t *testing.T, w *waiting) {
			t.Helper()
			w.conn.lose(t)
			w.unknown(t)
			if err := w.store.Close(); err != nil {
				t.Error(err)
			}
		},
		"it is given up and the store is closed": func(t *testing.T, w *waiting) {
			t.Helper()
			close(w.slow)
			w.unknown(t)
			if n := w.store.writes.Stat().AcquiredConns(); n != 0 {
				t.Errorf("it keeps %d connections from the pool", n)
			}
			if err := w.store.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := commitWithoutStandby(t)
			dials := w.dials.Load()
			w.conn.lost.Store(true)
			end(t, w)
			<-w.conn.goodbye
			if n := w.dials.Load() - dials; n > 0 {
				t.Errorf("%d more connections were made", n)
			}
			if !w.waits(t) {
				t.Error("the commit does not wait any more")
			}
		})
	}
}

// TestStatementLimitIsNoneForTheStandby: statement_timeout, which releases the locks of a broker that is
// no more, is over before a commit begins to wait.
func TestStatementLimitIsNoneForTheStandby(t *testing.T) {
	t.Parallel()
	w := commitWithoutStandby(t)
	select {
	case err := <-w.done:
		t.Errorf("the commit has ended: %v", err)
	case <-time.After(5 * shortLimit):
	}
	if !w.waits(t) {
		t.Error("the commit does not wait any more")
	}
	close(w.slow)
	w.unknown(t)
	if err := w.store.Close(); err != nil {
		t.Error(err)
	}
}

// shortLimit is the statement_timeout of the COMMITs that wait here.
const shortLimit = 100 * time.Millisecond

// waiting is a commit that waits for a standby that is not there.
type waiting struct {
	store *Store
	conn  *lossyConn
	dials atomic.Int64
	admin *pgx.Conn
	slow  chan time.Time // closed: it is given up
	done  chan error
}

func commitWithoutStandby(t *testing.T) *waiting {
	t.Helper()
	cluster := pgtest.Start(t)
	openStore(t, cluster.URL()) // migrates
	w := &waiting{slow: make(chan time.Time), done: make(chan error, 1)}
	w.store = storeThrough(t, cluster.URL(), func(conn net.Conn) net.Conn {
		w.dials.Add(1)
		w.conn = &lossyConn{Conn: conn, goodbye: make(chan struct{})}
		return w.conn
	})
	var err error
	if w.admin, err = pgx.Connect(t.Context(), cluster.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.admin.Close(context.WithoutCancel(t.Context())) })
	conn := w.begin(t) // its barrier is committed while that is possible
	for _, statement := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()",
	} {
		if _, err := w.admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w.finish(t, conn)
	for !w.waits(t) { // the reload takes a moment
		select {
		case err := <-w.done:
			if err != nil {
				t.Fatal(err)
			}
			w.finish(t, w.begin(t))
		default:
		}
	}
	return w
}

func (w *waiting) finish(t *testing.T, conn *pgxpool.Conn) {
	t.Helper()
	go func() { w.done <- w.store.finishUnless(t.Context(), conn, w.slow) }()
}

// begin is a transaction that has written.
func (w *waiting) begin(t *testing.T) *pgxpool.Conn {
	t.Helper()
	conn, err := w.store.writes.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = (&unit{conn: conn}).run(t.Context(), func(ctx context.Context, q *pgsql.Queries) error {
		_, err := q.TakeIDs(ctx, pgsql.TakeIDsParams{Bucket: 1, Count: 1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT set_config('statement_timeout', $1, true)", millis(shortLimit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func (w *waiting) waits(t *testing.T) bool {
	t.Helper()
	var n int
	err := w.admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity "+
		"WHERE wait_event = 'SyncRep' AND application_name = 'topiq'").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func (w *waiting) unknown(t *testing.T) {
	t.Helper()
	if err := <-w.done; !errors.Is(err, service.ErrOutcomeUnknown) {
		t.Errorf("the commit answers %v, want outcome_unknown", err)
	}
}
