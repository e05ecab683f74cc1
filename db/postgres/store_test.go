package postgres_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// smallConns keeps the stores of many tests within what one server allows.
const smallConns = 8

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) service.Store {
		t.Helper()
		return open(t, pgtest.URL(t))
	})
}
