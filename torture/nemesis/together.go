package nemesis

import (
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/topiq/topiq/torture/server"
)

// together does something with each broker at the same time, and waits for all.
func together(brokers []*server.Broker, do func(*server.Broker) error) error {
	errs := make([]error, len(brokers))
	var group sync.WaitGroup
	for i, b := range brokers {
		group.Go(func() { errs[i] = do(b) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// newRand makes another source of randomness, which one goroutine may use alone.
func newRand(r *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) }
