package nemesis

import (
	"context"
	"errors"
	"time"

	"github.com/topiq/topiq/torture/memlimit"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// memoryLimit is N18.
func memoryLimit() Nemesis {
	return Nemesis{
		ID: "N18", Name: "out of memory in a group of 64-256 MiB", Needs: []Need{Root(), MemoryGroup()},
		Engines: []string{SQLite, Postgres}, Cut: true, Short: 1, Faults: "kills", Round: memoryLimitRound,
	}
}

// MemoryGroup is the need of control groups that limit memory.
func MemoryGroup() Need {
	return Need{"control groups for memory", func() error {
		g, err := memlimit.New(64 << 20)
		if err != nil {
			return err
		}
		return g.Remove()
	}}
}

const (
	lowestLimit  = 64 << 20
	highestLimit = 256 << 20
	// squeeze is how much less there is each time, and squeezeEvery how often.
	squeeze      = 2 << 20
	squeezeEvery = 20 * time.Millisecond
	killLimit    = 20 * time.Second
)

// memoryLimitRound runs a broker in a control group, with large messages, and takes memory away from
// it until the kernel kills it.
func memoryLimitRound(ctx context.Context, r *Round) error {
	g, err := memlimit.New(highestLimit)
	if err != nil {
		return err
	}
	r.Cleanup(func() {
		if err := g.Remove(); err != nil {
			r.Log.Error("a control group was not removed", "error", err)
		}
	})
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{Prefix: g.Prefix()})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{BigPayloads: true}); err != nil {
		return err
	}
	for kills := 1; kills <= 3; kills++ {
		if err := g.Limit(lowestLimit + r.Rand.Int64N(highestLimit-lowestLimit)); err != nil {
			return err
		}
		if err := server.Pause(ctx, time.Second+time.Duration(r.Rand.Int64N(int64(2*time.Second)))); err != nil {
			return err
		}
		if err := r.squeeze(ctx, b, g, kills); err != nil {
			return err
		}
		ended := time.Now()
		if err := errors.Join(g.Limit(highestLimit), b.Start(ctx)); err != nil {
			return err
		}
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// squeeze leaves the broker less and less memory until the kernel has killed it for the n-th time.
func (r *Round) squeeze(ctx context.Context, b *server.Broker, g *memlimit.Group, n int) error {
	r.FaultSoon()
	b.Expect()
	used, err := g.Used()
	if err != nil {
		return err
	}
	limit := min(used, highestLimit)
	for began := time.Now(); b.Running(); {
		if time.Since(began) > killLimit {
			r.Invalid("the kernel did not kill the broker within %s, with %d MiB for it", killLimit, limit>>20)
			b.Kill()
			return nil
		}
		if limit > squeeze {
			limit -= squeeze
		}
		// A limit that does not leave it what it holds is refused by some kernels; the next is tried anyway, and
		// meanwhile it must not get more than the last that was taken.
		_ = g.Limit(limit)
		if err := server.Pause(ctx, squeezeEvery); err != nil {
			return err
		}
	}
	kills, err := g.Kills()
	if err == nil && kills < n {
		r.Invalid("the broker ended, and the kernel had killed it %d times, want %d", kills, n)
	}
	return err
}
