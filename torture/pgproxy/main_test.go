package pgproxy_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/topiq/topiq/db/postgres/pgtest"

	"github.com/topiq/topiq/torture/pgproxy"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patience bounds what must happen soon.
const patience = 20 * time.Second

// world is a database with one table, reached directly and through a proxy.
type world struct {
	*testing.T
	proxy  *pgproxy.Proxy
	direct *pgx.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := pgtest.URL(t)
	proxy, err := pgproxy.Start(t.Context(), url, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Errorf("close the proxy: %v", err)
		}
	})
	w := &world{T: t, proxy: proxy, direct: connect(t, url)}
	w.exec(w.direct, "CREATE TABLE t (v int NOT NULL)")
	return w
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// dial connects through the proxy.
func (w *world) dial() *pgx.Conn {
	w.Helper()
	return connect(w.T, w.proxy.URL())
}

func (w *world) exec(conn *pgx.Conn, sql string, args ...any) {
	w.Helper()
	if _, err := conn.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// rows is how many there are, once no transaction of a connection that was cut holds the table.
func (w *world) rows() int {
	w.Helper()
	w.exec(w.direct, "BEGIN")
	defer w.exec(w.direct, "ROLLBACK")
	w.exec(w.direct, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	var n int
	if err := w.direct.QueryRow(w.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// commitOf inserts a row and commits it as db/postgres does.
func (w *world) commitOf(conn *pgx.Conn) error {
	w.exec(conn, "BEGIN")
	w.exec(conn, "INSERT INTO t VALUES ($1)", 1)
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	_, err := conn.Exec(ctx, "commit")
	return err
}

// always does the same to every COMMIT.
func (w *world) always(action pgproxy.Action) { w.proxy.SetPolicy(pgproxy.Some(1, action)) }

func (w *world) wantOne(kind pgproxy.Kind) {
	w.Helper()
	if got := w.proxy.Counts().Kinds[kind]; got != 1 {
		w.Errorf("%q was counted %d times, want once", kind, got)
	}
}
