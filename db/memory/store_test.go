package memory_test

import (
	"context"
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) service.Store {
		t.Helper()
		s := memory.New(memory.Config{})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

// faulty is a store that fails on demand, with what dbtest needs of this engine's tests.
type faulty struct {
	*dbtest.Faulty

	memory *memory.Store
}

func (f faulty) Estrange(ctx context.Context, name service.TopicName) error {
	return f.memory.Estrange(ctx, name)
}

// TestFaultyWithoutHooksIsTheStore is about dbtest. It is here because only here a topic of this engine
// can be made foreign.
func TestFaultyWithoutHooksIsTheStore(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(*testing.T) service.Store {
		s := memory.New(memory.Config{})
		return faulty{&dbtest.Faulty{Store: s}, s}
	})
}
