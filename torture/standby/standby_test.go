package standby_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/torture/standby"
)

func start(t *testing.T, synchronous bool) *standby.Pair {
	t.Helper()
	// The path of a test's directory is too long for a socket.
	dir, err := os.MkdirTemp("", "topiq-standby-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, err := standby.Start(t.Context(), standby.Config{Dir: dir, Synchronous: synchronous})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	exec(t, p, "CREATE TABLE t (x int)")
	return p
}

// exec runs a statement wherever the URL of the pair leads.
func exec(t *testing.T, p *standby.Pair, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, p *standby.Pair) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A failover to the synchronous standby keeps every commit, there and back.
func TestFailoverThereAndBack(t *testing.T) {
	t.Parallel()
	p := start(t, true)
	for i := range 2 {
		old := p.Primary()
		exec(t, p, "INSERT INTO t VALUES (1)")
		p.Primary().Kill()
		begin := time.Now()
		if err := p.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.Primary() == old {
			t.Fatal("the old primary is still the primary")
		}
		if err := p.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("promoted and rebuilt in %s", time.Since(begin))
		if n := count(t, p); n != i+1 {
			t.Fatalf("after failover %d there are %d rows", i, n)
		}
	}
}

// Without its standby a synchronous primary does not answer a commit; cancelled, it shows the row all the same.
func TestCommitWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	p := start(t, true)
	p.Standby().Kill()
	done := make(chan error, 1)
	go func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			_, err = conn.Exec(ctx, "INSERT INTO t VALUES (1)")
			_ = conn.Close(ctx)
		}
		done <- err
	}()
	for {
		n, err := p.Waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			break
		}
	}
	select {
	case err := <-done:
		t.Fatalf("the commit did not wait: %v", err)
	default:
	}
	if n, err := p.CancelWaits(t.Context()); err != nil || n != 1 {
		t.Fatalf("cancelled %d, %v", n, err)
	}
	if err := <-done; err != nil {
		t.Errorf("a cancelled wait is success plus a warning, got %v", err)
	}
	if n := count(t, p); n != 1 {
		t.Errorf("%d rows are visible", n)
	}
	if err := p.StartStandby(t.Context()); err != nil {
		t.Error(err)
	}
}

// A standby that was disconnected lacks what came after, and a failover to it loses that.
func TestLaggingStandbyLosesCommits(t *testing.T) {
	t.Parallel()
	p := start(t, false)
	exec(t, p, "INSERT INTO t VALUES (1)")
	if err := p.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, p, "INSERT INTO t VALUES (2)")
	if err := p.Promote(t.Context()); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("promoting beside a living primary: %v", err)
	}
	p.Primary().Kill()
	if err := p.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, p); n != 1 {
		t.Errorf("%d rows after the failover, want the one that the standby had", n)
	}
}
