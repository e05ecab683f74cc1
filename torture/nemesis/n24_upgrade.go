package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// upgrade is N24.
func upgrade() Nemesis {
	return Nemesis{
		ID: "N24", Name: "an earlier and this version together on one database, and kills", Engines: []string{Postgres},
		Cut: true, Faults: "kills and replacements", Round: upgradeRound,
	}
}

// upgradeRound runs two brokers of the earlier version, adds one of this version, whose start
// changes the schema under them, kills that again and again, and replaces the old ones by kills, one after another.
func upgradeRound(ctx context.Context, r *Round) error {
	old, err := r.Env.Old()
	if err != nil {
		return err
	}
	brokers, err := r.Brokers(ctx, 2, BrokerOptions{Program: old})
	if err != nil {
		return err
	}
	added, err := r.NewBroker(ctx, BrokerOptions{})
	if err != nil {
		return err
	}
	// Its clients get no answer until it runs, and go elsewhere.
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	r.FaultSoon()
	// The first start is killed in the middle, between two migrations where there are two: what has
	// been done by then must not matter.
	added.Configure(func(c *server.BrokerConfig) { c.Env = append(c.Env, "TOPIQ_FAULTS=migrate.between_steps=kill") })
	if err := added.Launch(); err != nil {
		return err
	}
	added.Configure(func(c *server.BrokerConfig) { c.Env = c.Env[:len(c.Env)-1] })
	if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(150*time.Millisecond)))); err != nil {
		return err
	}
	added.Kill()
	if err := added.Start(ctx); err != nil {
		return err
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	// The earlier version goes on with the later schema, but does not start on it: what ends of it
	// is replaced.
	for i := range r.Times(8) {
		if err := r.killOne(ctx, added); err != nil {
			return err
		}
		if i%2 == 0 || len(brokers) == 0 {
			continue
		}
		b := brokers[0]
		brokers = brokers[1:]
		b.Configure(func(c *server.BrokerConfig) { c.Program = added.Program() })
		if err := r.killOne(ctx, b); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{NoLeaks: true})
}

// killOne kills a broker while clients use it, restarts it and waits until it serves.
func (r *Round) killOne(ctx context.Context, b *server.Broker) error {
	if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(500*time.Millisecond)))); err != nil {
		return err
	}
	r.FaultSoon()
	b.Kill()
	ended := time.Now()
	if err := b.Start(ctx); err != nil {
		return err
	}
	return r.Recovered(ctx, ended)
}
