package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	primary := Start(t)
	exec1(t, primary.URL(), "CREATE TABLE t (n int)")
	standby := primary.Standby(t, "max_connections=250")
	exec1(t, primary.URL(), "ALTER SYSTEM SET synchronous_standby_names = '"+StandbyName+"'")
	if err := primary.Restart(); err != nil {
		t.Fatal(err)
	}
	exec1(t, primary.URL(), "INSERT INTO t VALUES (42)") // waits for the standby
	if got := query(t, standby.URL(), "SELECT pg_is_in_recovery()::text"); got != "true" {
		t.Errorf("the standby is in recovery: %s", got)
	}
	both := Address(primary, standby) + "&target_session_attrs=read-write"
	if got := query(t, both, "SHOW max_connections"); got != "200" {
		t.Errorf("a client of both is at the server with %s connections", got)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(t.Context(), both); err == nil {
		_ = conn.Close(t.Context())
		t.Fatal("a standby takes writes")
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	exec1(t, both, "INSERT INTO t VALUES (43)")
	if got := query(t, both, "SELECT sum(n)::text FROM t"); got != "85" {
		t.Errorf("after the promotion the sum is %s, want 85", got)
	}
	if got := query(t, both, "SHOW max_connections"); got != "250" {
		t.Errorf("a client of both is at the server with %s connections", got)
	}
}
