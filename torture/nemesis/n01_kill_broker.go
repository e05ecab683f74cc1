package nemesis

import (
	"context"
	"fmt"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// killBroker is N1.
func killBroker() Nemesis {
	return Nemesis{
		ID: "N1", Name: "kill -9 of the broker", Engines: []string{SQLite, Postgres},
		Cut: true, Short: 1, Faults: "kills", Round: killBrokerRound,
	}
}

// killPoints are the fault points at which the broker kills itself, each with how likely it is to do
// so each time it passes.
func killPoints() []string {
	return []string{
		"produce.before_begin=kill@0.05", "produce.after_lock=kill@0.05", "produce.after_check=kill@0.05",
		"produce.after_insert=kill@0.05", "produce.before_commit=kill@0.05", "produce.after_commit_before_reply=kill@0.05",
		"produce.mid_reply=kill@0.03", "group.before_flush=kill@0.05", "group.after_flush_before_fanout=kill@0.05",
		"offset.before_commit=kill@0.05", "offset.after_commit=kill@0.05",
	}
}

// killBrokerRound kills a broker again and again: half of the times at a random time, half at a fault point,
// where it kills itself.
func killBrokerRound(ctx context.Context, r *Round) error {
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	points := killPoints()
	next := r.Rand.IntN(len(points))
	for i := range r.Times(22) {
		if i%2 == 0 {
			if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(600*time.Millisecond)))); err != nil {
				return err
			}
			r.FaultSoon()
			b.Kill()
		} else if err := r.killAtPoint(ctx, b, points[(next+i/2)%len(points)]); err != nil {
			return err
		}
		ended := time.Now()
		if err := b.Start(ctx); err != nil {
			return err
		}
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// killAtPoint restarts the broker so that it kills itself at a fault point, and waits until it has.
func (r *Round) killAtPoint(ctx context.Context, b *server.Broker, point string) error {
	if err := b.Stop(); err != nil {
		r.violation("%v", err)
	}
	b.Configure(func(c *server.BrokerConfig) { c.Env = append(c.Env, "TOPIQ_FAULTS="+point) })
	defer b.Configure(func(c *server.BrokerConfig) { c.Env = c.Env[:len(c.Env)-1] })
	if err := b.Launch(); err != nil {
		return err
	}
	b.Expect()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-b.Ended():
	case <-timer.C:
		return fmt.Errorf("the broker did not kill itself at %s in a minute", point)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.FaultsMade(1)
	return nil
}
