package pgtest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// connect opens a connection that ends with the test.
func connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	return conn
}

// query returns the one value that a statement yields.
func query(tb testing.TB, url, statement string) string {
	tb.Helper()
	var value string
	if err := connect(tb, url).QueryRow(tb.Context(), statement).Scan(&value); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	return value
}

func exec1(tb testing.TB, url, statement string) {
	tb.Helper()
	if _, err := connect(tb, url).Exec(tb.Context(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	one, other := URL(t), URL(t)
	exec1(t, one, "CREATE TABLE topics ()")
	exists := "SELECT (to_regclass('topics') IS NOT NULL)::text"
	if got := query(t, one, exists); got != "true" {
		t.Error("the table is not visible to a second connection to its own database")
	}
	if got := query(t, other, exists); got != "false" {
		t.Error("the table is visible in another test's database")
	}
}

func TestDatabaseIsDroppedWithItsConnections(t *testing.T) {
	t.Parallel()
	var url string
	t.Cleanup(func() { // Runs after the cleanup of URL, which is registered later.
		ctx := context.WithoutCancel(t.Context())
		if conn, err := pgx.Connect(ctx, url); err == nil {
			_ = conn.Close(ctx)
			t.Error("the database is still there after its test")
		}
	})
	url = URL(t)
	if _, err := pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

func TestNamedServerIsUsed(t *testing.T) {
	cluster := Start(t)
	t.Setenv(EnvURL, cluster.URL())
	url := URL(t)
	if got := query(t, url, "SHOW unix_socket_directories"); got != cluster.dir.path {
		t.Errorf("the database is on the server at %s, want %s", got, cluster.dir.path)
	}
	if got := query(t, url, "SELECT current_database()"); !strings.HasPrefix(got, "topiq_test_") {
		t.Errorf("the test works in database %s of a server that may have others", got)
	}
}

func TestNamedServerNeedsAURL(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"host=/tmp user=postgres", "http://localhost", "://"} {
		if _, _, err := createDatabase(address); err == nil || !strings.Contains(err.Error(), EnvURL) {
			t.Errorf("createDatabase(%q) = %v, want an error that names %s", address, err, EnvURL)
		}
	}
}
