package nemesis

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// smallPool is N22.
func smallPool() Nemesis {
	return Nemesis{
		ID: "N22", Name: "the smallest pool of connections, and 500 clients", Engines: []string{Postgres},
		Faults: "bursts of 500 clients", Round: smallPoolRound,
	}
}

// smallPoolRound lets 500 clients use a broker with as few connections to the database as it takes.
// Nothing may wait for ever, and the health check must answer all the time.
func smallPoolRound(ctx context.Context, r *Round) error {
	conns, err := r.fewestConns(ctx)
	if err != nil {
		return err
	}
	r.Result.Extra["connections"] = float64(conns)
	b := r.brokers[len(r.brokers)-1]
	// Half of the clients wait in long polls; they may hold no connection meanwhile.
	w, err := r.Workload(ctx, workload.Options{
		Topics: 5, Producers: 20, Takeovers: 2, Unsequenced: 8, Readers: 10, Pollers: 40, Consumers: 15, Plain: 3, Seekers: 2,
		Rate: 300, Timeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	worst := time.Duration(0)
	for until := time.Now().Add(6 * time.Second); time.Now().Before(until); {
		asked := time.Now()
		if !b.Healthy(ctx, healthPatience) {
			r.violation("I19: the health check gave no answer in %s while 500 clients were at work", healthPatience)
			break
		}
		worst = max(worst, time.Since(asked))
		if err := server.Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	r.Result.Extra["healthz_worst_ms"] = float64(worst.Milliseconds())
	if w.InFlight() == 0 {
		r.FaultSoon()
	} else {
		r.Fault(1)
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{})
}

// healthPatience is what an orchestrator might have before it restarts a broker.
const healthPatience = 10 * time.Second

// fewestConns starts a broker with as few connections as it accepts.
func (r *Round) fewestConns(ctx context.Context) (int, error) {
	for n := 1; n <= 16; n++ {
		b, err := r.NewBroker(ctx, BrokerOptions{Args: []string{"--lanes", "1", "--max-conns", strconv.Itoa(n)}})
		if err != nil {
			return 0, err
		}
		err = b.Start(ctx)
		if err == nil {
			r.measureBaseline(ctx)
			return n, nil
		}
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			return 0, err
		}
		r.brokers = r.brokers[:len(r.brokers)-1] // refused: it must be more
	}
	return 0, errors.New("no broker starts even with 16 connections")
}
