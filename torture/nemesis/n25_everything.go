package nemesis

import (
	"context"
	"os"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// everything is N25.
func everything() Nemesis {
	return Nemesis{
		ID: "N25", Name: "a random mix, a quarter of the time quiet", Engines: []string{SQLite, Postgres},
		Cut: true, Faults: "faults of all sorts", Round: everythingRound,
	}
}

const (
	mixSlots = 12
	mixSlot  = 5 * time.Second
)

// everythingRound makes faults of one sort after another, chosen at random, each for a few seconds,
// with quiet times between: kills, freezes and jumps of the clock of any broker, kills, freezes and
// restarts of the server.
func everythingRound(ctx context.Context, r *Round) error {
	n := 1
	if r.Engine == Postgres {
		n = 3
		if _, err := r.Postgres(ctx, PostgresOptions{}); err != nil {
			return err
		}
	}
	clock := r.Path("clock")
	brokers, err := r.Brokers(ctx, n, BrokerOptions{Env: []string{"TOPIQ_CLOCK_FILE=" + clock}})
	if err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{Takeovers: 2, BigPayloads: true}); err != nil {
		return err
	}
	for slot := range mixSlots {
		// The first slot makes faults whatever the seed.
		if slot > 0 && r.Rand.IntN(4) == 0 {
			if err := server.Pause(ctx, mixSlot); err != nil {
				return err
			}
			continue
		}
		fault := r.anyFault(clock)
		for until := time.Now().Add(mixSlot); time.Now().Before(until); {
			if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(time.Second)))); err != nil {
				return err
			}
			if err := fault(ctx, brokers[r.Rand.IntN(n)]); err != nil {
				return err
			}
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// anyFault chooses one sort.
func (r *Round) anyFault(clock string) func(context.Context, *server.Broker) error {
	sorts := []func(context.Context, *server.Broker) error{
		r.killOne,
		func(ctx context.Context, b *server.Broker) error {
			return r.freezeFor(ctx, []*server.Broker{b}, r.Rand.IntN(3), time.Duration(r.Rand.Int64N(int64(3*time.Second))))
		},
		func(ctx context.Context, _ *server.Broker) error {
			r.FaultSoon()
			jump := time.Duration(r.Rand.Int64N(int64(2*365*24*time.Hour))) - 365*24*time.Hour
			if err := os.WriteFile(clock, []byte(jump.String()), 0o644); err != nil {
				return err
			}
			return r.Recovered(ctx, time.Now())
		},
	}
	if r.Engine == Postgres {
		sorts = append(sorts, r.restartPostgres("kill"), r.restartPostgres("fast"), r.restartPostgres("immediate"))
	}
	return sorts[r.Rand.IntN(len(sorts))]
}

// restartPostgres ends the server in one way and starts it again.
func (r *Round) restartPostgres(mode string) func(context.Context, *server.Broker) error {
	return func(ctx context.Context, _ *server.Broker) error {
		pg := r.postgres[0]
		r.FaultSoon()
		if mode == "kill" {
			pg.Kill()
		} else if err := pg.Stop(mode); err != nil {
			return err
		}
		if err := pg.Start(ctx); err != nil {
			return err
		}
		return r.Recovered(ctx, time.Now())
	}
}
