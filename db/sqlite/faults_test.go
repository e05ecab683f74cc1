//go:build faults

package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/service"
)

func TestFaults(t *testing.T) {
	dbtest.Faults(t, func(t *testing.T) service.Store {
		t.Helper()
		return opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	})
}

// A broker that fails between two migrations starts again where it was.
func TestFaultBetweenMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "topiq.db")
	t.Setenv("TOPIQ_FAULTS", "migrate.between_steps=error")
	if s, err := Open(t.Context(), path, Config{}); err == nil {
		closed(t, s)
		t.Fatal("it was not stopped between two migrations")
	}
	t.Setenv("TOPIQ_FAULTS", "")
	if _, err := newLog(t.Context(), opened(t, path)); err != nil {
		t.Error(err)
	}
}
