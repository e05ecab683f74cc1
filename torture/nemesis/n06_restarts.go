package nemesis

import (
	"context"
	"sync"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// restarts is N6.
func restarts() Nemesis {
	return Nemesis{
		ID: "N6", Name: "restart storm (SIGTERM, SIGKILL) from an empty database on", Engines: []string{SQLite, Postgres},
		Cut: true, Faults: "restarts", Round: restartsRound,
	}
}

// restartsRound starts three brokers (one on SQLite) at the same moment on a database without a
// schema, and then restarts each every 0.2 to 3 seconds, on its own.
func restartsRound(ctx context.Context, r *Round) error {
	n, span := 1, time.Duration(r.Times(20))*time.Second
	if r.Engine == Postgres {
		n = 3
	}
	for range n {
		if _, err := r.NewBroker(ctx, BrokerOptions{}); err != nil {
			return err
		}
	}
	brokers := r.brokers
	if err := together(brokers, func(b *server.Broker) error { return b.Start(ctx) }); err != nil {
		return err // a race of migrations ends here
	}
	r.measureBaseline(ctx)
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	deadline := time.Now().Add(span)
	var counting sync.Mutex
	err := together(brokers, func(b *server.Broker) error {
		counting.Lock()
		random := newRand(r.Rand)
		counting.Unlock()
		for time.Now().Before(deadline) {
			if err := server.Pause(ctx, 200*time.Millisecond+time.Duration(random.ExpFloat64()*float64(500*time.Millisecond))); err != nil {
				return err
			}
			counting.Lock()
			r.Fault(1)
			counting.Unlock()
			if random.IntN(2) == 0 {
				b.Kill()
			} else if err := b.Stop(); err != nil {
				counting.Lock()
				r.violation("%v", err)
				counting.Unlock()
			}
			if err := b.Start(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{})
}
