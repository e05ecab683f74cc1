package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
)

func TestBrokersThatStartAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
			if err != nil {
				t.Error(err)
				return
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's connection
	var applied int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM goose_db_version WHERE version_id = 1").Scan(&applied)
	if err != nil {
		t.Fatal(err)
	}
	if applied != 1 {
		t.Errorf("the first migration was applied %d times", applied)
	}
}

func TestOpenRefusesTheSchemaOfALaterVersion(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	open(t, url)
	execute(t, url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	_, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err == nil || !strings.Contains(err.Error(), "99999") {
		t.Errorf("Open: %v, want an error that names the version", err)
	}
}
