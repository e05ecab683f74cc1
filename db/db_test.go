package db_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/db/sqlite"
	"github.com/topiq/topiq/service"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestEnginesAgree holds the engines with a database against the one without.
func TestEnginesAgree(t *testing.T) {
	t.Parallel()
	dbtest.Agree(t, openMemory, openSQLite, openPostgres)
}

func openMemory(t *testing.T) service.Store {
	t.Helper()
	return closed(t, memory.New(memory.Config{}))
}

func openSQLite(t *testing.T) service.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "topiq.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, s)
}

func openPostgres(t *testing.T) service.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), pgtest.URL(t), postgres.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, s)
}

// closed closes a store with its test.
func closed(t *testing.T, s service.Store) service.Store {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
