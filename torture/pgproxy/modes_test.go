package pgproxy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ask is one round trip that gives up after a while.
func (w *world) ask(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var one int
	return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
}

func TestCutAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := w.dial(), w.dial()
	if got := w.proxy.CutAll(); got != 2 {
		t.Errorf("%d connections were cut, want 2", got)
	}
	for _, conn := range []*pgx.Conn{one, other} {
		if err := w.ask(conn); err == nil {
			t.Error("a connection goes on")
		}
	}
	if err := w.ask(w.dial()); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestRefuseNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.dial()
	w.proxy.RefuseNew(true)
	if _, err := pgx.Connect(t.Context(), w.proxy.URL()); err == nil {
		t.Error("a new connection was let in")
	}
	if err := w.ask(old); err != nil {
		t.Errorf("an old connection: %v", err)
	}
	w.proxy.RefuseNew(false)
	if err := w.ask(w.dial()); err != nil {
		t.Errorf("a new connection afterwards: %v", err)
	}
	if got := w.proxy.Counts().Refused; got == 0 {
		t.Error("nothing was counted")
	}
}

func TestDelayIsPerPiece(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.dial()
	const delay = 60 * time.Millisecond
	w.proxy.SetDelay(delay)
	began := time.Now()
	if err := w.ask(conn); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("a round trip took %s, less than twice %s", took, delay)
	}
	w.proxy.SetDelay(0)
	if err := w.ask(conn); err != nil {
		t.Fatal(err)
	}
}

// TestHole keeps a transaction open whose connection falls into the hole. Neither side learns that the
// other has gone: the server keeps the locks until its own timeout, and only the end of the hole ends
// the client's wait.
func TestHole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	idle, busy := w.dial(), w.dial()
	w.exec(busy, "SET idle_in_transaction_session_timeout = '300ms'")
	w.exec(busy, "BEGIN")
	w.exec(busy, "INSERT INTO t VALUES (1)")
	w.proxy.OpenHole()

	answered := make(chan error, 1)
	go func() { // no deadline, so that pgx does not close by itself
		_, err := busy.Exec(context.WithoutCancel(t.Context()), "commit")
		answered <- err
	}()
	fresh, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(fresh, w.proxy.URL()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new connection in the hole: %v, want it to wait", err)
	}
	if got := w.rows(); got != 0 { // waits for the lock, so for the server's timeout
		t.Errorf("%d rows: the commit went through the hole", got)
	}
	select {
	case err := <-answered:
		t.Errorf("the client heard of the server's end through the hole: %v", err)
	default:
	}
	if got := w.proxy.CloseHole(); got == 0 {
		t.Error("no connection was cut at the end of the hole")
	}
	if err := <-answered; err == nil {
		t.Error("the commit succeeded")
	}
	if err := w.ask(idle); err != nil {
		t.Errorf("a connection that lost nothing: %v", err)
	}
	if c := w.proxy.Counts(); c.Swallowed == 0 || c.HoleCut == 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestSuppressNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.dial()
	w.exec(conn, "LISTEN heads")
	heard := func(text string, limit time.Duration) bool {
		w.exec(w.direct, "SELECT pg_notify('heads', $1)", text)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		n, err := conn.WaitForNotification(ctx)
		return err == nil && n.Payload == text
	}
	if !heard("one", patience) {
		t.Fatal("a notification did not arrive")
	}
	w.proxy.SuppressNotifications(true)
	if heard("two", 200*time.Millisecond) {
		t.Fatal("a notification arrived that was to be dropped")
	}
	w.proxy.SuppressNotifications(false)
	if conn = w.dial(); conn.IsClosed() { // the wait that timed out has closed the other
		t.Fatal("closed")
	}
	w.exec(conn, "LISTEN heads")
	if !heard("three", patience) {
		t.Fatal("notifications stay away")
	}
	// The server may not have noticed yet that the first connection is gone, and tell it as well.
	if c := w.proxy.Counts(); c.Notifications < 2 || c.Suppressed != 1 {
		t.Errorf("counts %+v", c)
	}
}

// TestUpstreamChanges starts with a server that is not there.
func TestUpstreamChanges(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	w.exec(other.direct, "INSERT INTO t VALUES (1)")
	if err := w.proxy.SetUpstream("postgres:///nowhere?host=/nowhere&user=nobody"); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(t.Context(), w.proxy.URL()); err == nil {
		t.Fatal("connected to nowhere")
	}
	if got := w.proxy.Counts().Unreachable; got == 0 {
		t.Error("nothing was counted")
	}
	if err := w.proxy.SetUpstream(other.direct.Config().ConnString()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := w.dial().QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows behind the new address, %v", n, err)
	}
}

// TestCancelPasses has pgx cancel a statement by its context, which takes a connection of its own.
func TestCancelPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.dial()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.exec(conn, "SET application_name = 'sleeper'")
	slept := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "SELECT pg_sleep(600)")
		slept <- err
	}()
	for { // until the server is at it
		var n int
		if err := w.direct.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name = 'sleeper'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
	}
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-slept; err == nil {
		t.Error("the statement was not cancelled")
	}
	if got := w.proxy.Counts().Cancels; got != 1 {
		t.Errorf("%d cancels were counted, want 1", got)
	}
}
