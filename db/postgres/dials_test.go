package postgres

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// TestFewConnectionsAreOpenedAtATime asks for many at once from a server that accepts and says nothing.
func TestFewConnectionsAreOpenedAtATime(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	accepted := make(chan net.Conn, 100)
	go func() {
		defer close(accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	pool := manyConnections(t, "postgres://x@"+listener.Addr().String()+"/x?sslmode=disable&connect_timeout=60")
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() { _, _ = pool.Acquire(ctx) })
	}
	for range maxDials {
		defer func(conn net.Conn) { _ = conn.Close() }(<-accepted)
	}
	select {
	case conn := <-accepted:
		_ = conn.Close()
		t.Errorf("more than %d connections are opened at a time", maxDials)
	case <-time.After(300 * time.Millisecond): // nothing more comes; a mistake would show at once, or not at all
	}
	_ = listener.Close()
	for conn := range accepted {
		_ = conn.Close()
	}
	cancel()
	calls.Wait()
}

// TestAllConnectionsAreOpenedInTheEnd shows that a connection no longer counts once it is open.
func TestAllConnectionsAreOpenedInTheEnd(t *testing.T) {
	t.Parallel()
	pool := manyConnections(t, pgtest.URL(t))
	for range 3 * maxDials {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
}

func manyConnections(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	base, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := newPool(t.Context(), base, 5*maxDials, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
