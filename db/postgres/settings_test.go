package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// execute runs a statement on a connection of its own.
func execute(t *testing.T, url, statement string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // a test's connection
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesUnsafeSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		url  func(t *testing.T) string
		want []string // settings named in the error and listed when they are accepted
	}{
		{
			name: "synchronous_commit off for the database",
			url: func(t *testing.T) string {
				t.Helper()
				url := pgtest.URL(t)
				execute(t, url, "DO $$ BEGIN EXECUTE format("+
					"'ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$")
				return url
			},
			want: []string{"synchronous_commit=off"},
		},
		{
			name: "synchronous_commit local for the database",
			url: func(t *testing.T) string {
				t.Helper()
				url := pgtest.URL(t)
				execute(t, url, "DO $$ BEGIN EXECUTE format("+
					"'ALTER DATABASE %I SET synchronous_commit = local', current_database()); END $$")
				return url
			},
			want: []string{"synchronous_commit=local"},
		},
		{
			name: "fsync and full_page_writes off for the server",
			url: func(t *testing.T) string {
				t.Helper()
				return pgtest.Start(t, "fsync=off", "full_page_writes=off").URL()
			},
			want: []string{"fsync=off", "full_page_writes=off"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url := test.url(t)
			if store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns}); err == nil {
				_ = store.Close()
				t.Fatal("Open accepted the server")
			} else {
				for _, setting := range test.want {
					if name, _, _ := strings.Cut(setting, "="); !strings.Contains(err.Error(), name+" is") {
						t.Errorf("the error does not name %s: %v", name, err)
					}
				}
				if !strings.Contains(err.Error(), "set ") {
					t.Errorf("the error does not say what to do: %v", err)
				}
			}
			store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns, UnsafeDurability: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := store.Properties().Unsafe; !slices.Equal(got, test.want) {
				t.Errorf("Properties().Unsafe = %v, want %v", got, test.want)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConnectionsMadeLaterAreCheckedToo(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	store := open(t, cluster.URL())
	for _, setting := range []struct{ name, set, reset string }{
		{
			"synchronous_commit", "ALTER ROLE CURRENT_USER SET synchronous_commit = off",
			"ALTER ROLE CURRENT_USER RESET synchronous_commit",
		},
		{"fsync", "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync"},
		{"full_page_writes", "ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM RESET full_page_writes"},
	} {
		execute(t, cluster.URL(), setting.set)
		if err := cluster.Restart(); err != nil { // so that there are no old connections
			t.Fatal(err)
		}
		for range 20 { // the first calls may still find the old ones, dead
			if err := store.Ping(t.Context()); err == nil {
				t.Fatalf("a session with %s = off is used", setting.name)
			}
		}
		execute(t, cluster.URL(), setting.reset)
		execute(t, cluster.URL(), "SELECT pg_reload_conf()")
		if err := eventually(t, func() error { return store.Ping(t.Context()) }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	config := postgres.Config{Logger: quiet(), MaxConns: 20, Lanes: 7, Replicated: true}
	store, err := postgres.Open(t.Context(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing was written
	got := store.Properties()
	if got.Engine != "postgres" || got.Durability != service.DurabilityReplicated || got.Lanes != 7 || got.GroupBytes == 0 ||
		!got.Shared || got.Unsafe != nil {
		t.Errorf("Properties() = %+v", got)
	}
	for _, config := range []postgres.Config{{Lanes: -1}, {Lanes: 300}, {Lanes: 8, MaxConns: 10}} {
		if _, err := postgres.Open(t.Context(), url, config); err == nil {
			t.Errorf("Open accepted %+v", config)
		}
	}
}
