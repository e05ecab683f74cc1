//go:build faults

package postgres_test

import (
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

func TestFaults(t *testing.T) {
	dbtest.Faults(t, func(t *testing.T) service.Store {
		t.Helper()
		return open(t, pgtest.URL(t))
	})
}

// A broker that fails between two migrations starts again where it was.
func TestFaultBetweenMigrations(t *testing.T) {
	url := pgtest.URL(t)
	t.Setenv("TOPIQ_FAULTS", "migrate.between_steps=error")
	if s, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet()}); err == nil {
		_ = s.Close()
		t.Fatal("it was not stopped between two migrations")
	}
	t.Setenv("TOPIQ_FAULTS", "")
	if err := open(t, url).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
