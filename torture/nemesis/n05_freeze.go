package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// freeze is N5.
func freeze() Nemesis {
	return Nemesis{
		ID: "N5", Name: "SIGSTOP of a broker or of PostgreSQL", Engines: []string{SQLite, Postgres, Memory},
		Faults: "freezes", Round: freezeRound,
	}
}

// freezeRound stops a broker, or on PostgreSQL one of two brokers or the server, for a short time
// again and again, and once for longer than the timeouts of the clients and the idle timeout of
// transactions: what then wakes up belongs to another time (I14).
func freezeRound(ctx context.Context, r *Round) error {
	n := 1
	if r.Engine == Postgres {
		n = 2
	}
	brokers, err := r.Brokers(ctx, n, BrokerOptions{})
	if err != nil {
		return err
	}
	// Sessions are taken over all the time, so that a frozen one wakes up fenced.
	if _, err := r.Workload(ctx, workload.Options{Takeovers: 3, Takeover: 400 * time.Millisecond}); err != nil {
		return err
	}
	pauses := r.Times(8)
	for i := range pauses {
		span := 100*time.Millisecond + time.Duration(r.Rand.Int64N(int64(1200*time.Millisecond)))
		if i == pauses/2 {
			span = 8 * time.Second
		}
		if err := r.freezeFor(ctx, brokers, i, span); err != nil {
			return err
		}
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(300*time.Millisecond)))); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// freezeFor makes one pause. On PostgreSQL every third is one of the server.
func (r *Round) freezeFor(ctx context.Context, brokers []*server.Broker, i int, span time.Duration) error {
	r.FaultSoon()
	var thaw func() error
	if r.Engine == Postgres && i%3 == 1 {
		pg := r.postgres[0]
		pg.Freeze()
		thaw = func() error { pg.Thaw(); return nil }
	} else {
		b := brokers[r.Rand.IntN(len(brokers))]
		if err := b.Freeze(); err != nil {
			return err
		}
		thaw = b.Thaw
	}
	err := server.Pause(ctx, span)
	ended := time.Now()
	if thawed := thaw(); thawed != nil {
		return thawed
	}
	if err != nil {
		return err
	}
	return r.Recovered(ctx, ended)
}
