package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/topiq/topiq/torture/memlimit"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// memoryLimit is N18.
func memoryLimit() Nemesis {
	return Nemesis{
		ID: "N18", Name: "out of memory in a group of 64-256 MiB", Needs: []Need{Root(), MemoryGroup()},
		Engines: []string{SQLite, Postgres}, Cut: true, Faults: "kills", Round: memoryLimitRound,
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
	killLimit    = 60 * time.Second
)

// memoryLimitRound runs a broker in a control group, with large messages, in which memory runs out until
// the kernel kills it.
func memoryLimitRound(ctx context.Context, r *Round) error {
	g, err := memlimit.New(highestLimit)
	if err != nil {
		return err
	}
	r.Cleanup(func() {
		if err := g.Remove(); err != nil {
			r.Log.ErrorContext(ctx, "a control group was not removed", "error", err)
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
		// Where it uses more already the limit stays where it is.
		_ = g.Limit(lowestLimit + r.Rand.Int64N(highestLimit-lowestLimit))
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(time.Second)))); err != nil {
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

// squeeze has a neighbour in the group take all memory, until the kernel has killed the broker for the n-th
// time. The kernel is told to prefer the broker to the neighbour.
func (r *Round) squeeze(ctx context.Context, b *server.Broker, g *memlimit.Group, n int) error {
	b.Expect()
	r.FaultSoon()
	score := fmt.Sprintf("/proc/%d/oom_score_adj", b.Pid())
	if err := os.WriteFile(score, []byte("1000"), 0); err != nil {
		return err
	}
	line := append(g.Prefix(), "tail", "/dev/zero")
	greedy, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		// Where the kernel takes the neighbour all the same, another comes.
		for greedy.Err() == nil {
			_ = exec.CommandContext(greedy, line[0], line[1:]...).Run()
		}
	})
	killed, err := until(ctx, killLimit, func() bool { return !b.Running() })
	cancel()
	group.Wait()
	if err != nil {
		return err
	}
	if !killed {
		r.Invalid("the kernel did not kill the broker within %s", killLimit)
		b.Kill()
		return nil
	}
	kills, err := g.Kills()
	if err == nil && kills < n {
		r.Invalid("the broker ended, and the kernel had killed it %d times, want %d", kills, n)
	}
	return err
}
