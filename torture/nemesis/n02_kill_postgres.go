package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// killPostgres is N2.
func killPostgres() Nemesis {
	return Nemesis{
		ID: "N2", Name: "kill -9 of PostgreSQL, all its processes", Engines: []string{Postgres},
		Cut: true, Short: 1, Faults: "kills", Round: killPostgresRound,
	}
}

// killPostgresRound kills the server under two brokers again and again. The brokers are not restarted: they
// must find the server again by themselves. In every second round or so the server waits before it syncs its log, so
// that others can join: then a kill finds commits that are written and not synced, whose numbers are given once more.
func killPostgresRound(ctx context.Context, r *Round) error {
	var o PostgresOptions
	if r.Rand.IntN(2) == 0 {
		o.Settings = []string{"commit_delay=10000", "commit_siblings=0"}
		r.Result.Extra["commit_delay_us"] = 10000
	}
	pg, err := r.Postgres(ctx, o)
	if err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 2, BrokerOptions{}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	for range r.Times(8) {
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(time.Second)))); err != nil {
			return err
		}
		r.FaultSoon()
		pg.Kill()
		if r.Rand.IntN(3) == 0 { // away for longer than a retry
			if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(2*time.Second)))); err != nil {
				return err
			}
		}
		if err := pg.Start(ctx); err != nil {
			return err
		}
		if err := r.Recovered(ctx, time.Now()); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}
