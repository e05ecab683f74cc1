package dbtest_test

import (
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestAgreeAgreesWithItself says that the comparison itself asks for nothing impossible.
func TestAgreeAgreesWithItself(t *testing.T) {
	t.Parallel()
	open := func(*testing.T) service.Store { return memory.New(memory.Config{}) }
	dbtest.Agree(t, open, open)
}
