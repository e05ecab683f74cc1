package nemesis

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/torture/hostile"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

const (
	hostileClients = 4
	hostileTime    = 10 * time.Second
	hostileMost    = time.Minute // if not all were sent once before
	// hostilePeak is for a few bodies of eight megabytes at a time, and what the collector of garbage
	// has not yet taken.
	hostilePeak = 400 // MiB
)

// hostileBodies is N21.
func hostileBodies() []Nemesis {
	return []Nemesis{{
		ID: "N21", Name: "giant and hostile requests", Engines: []string{SQLite, Postgres},
		Faults: "hostile requests", Round: hostileRound,
	}}
}

// hostileRound sends what no broker may take, about the topics on which clients work. Each must be
// refused as the protocol says, and the checks of the round see whether any of it was stored.
func hostileRound(ctx context.Context, r *Round) error {
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	w, err := r.Workload(ctx, workload.Options{})
	if err != nil {
		return err
	}
	id, err := registerProducer(ctx, http.DefaultClient, b.URL(), w.Topics()[0])
	if err != nil {
		return err
	}
	inputs := hostile.Inputs(w.Topics()[0], id)
	from := w.Recorder().Now()
	sent, wrong := r.sendHostile(ctx, b, inputs)
	ended := time.Now()
	r.FaultsMade(sent)
	r.Result.Extra["rate_meanwhile"] = w.Rate(from, w.Recorder().Now())
	for _, sentence := range wrong {
		r.Violation("%s", sentence)
	}
	if sent < len(inputs) {
		r.Invalid("only %d of %d hostile requests were sent in %s", sent, len(inputs), hostileMost)
	}
	if status, err := ask(ctx, http.DefaultClient, http.MethodGet, b.URL()+"/healthz", nil); err != nil || status.status != http.StatusOK {
		r.Violation("after hostile requests the broker is not healthy: %d %v", status.status, err)
	}
	if mib := r.peak(b); mib > hostilePeak {
		r.Violation("hostile requests cost %.0f MiB", mib)
	}
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{})
}

// sendHostile sends all inputs at least once, then any of them until time is up, and returns how many
// were sent and what was wrong with the answers.
func (r *Round) sendHostile(ctx context.Context, b *server.Broker, inputs []hostile.Input) (int, []string) {
	const enough = 10 // sentences
	order := r.Rand.Perm(len(inputs))
	var next, sent atomic.Int64
	var mu sync.Mutex
	var wrong []string
	begun, limit := time.Now(), time.Duration(r.Times(int(hostileTime)))
	var group sync.WaitGroup
	for range hostileClients {
		group.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1) - 1)
				if n >= len(inputs) && time.Since(begun) > limit || time.Since(begun) > hostileMost {
					return
				}
				input := inputs[order[n%len(inputs)]]
				err := input.Check(ctx, b.Addr())
				sent.Add(1)
				if err != nil && ctx.Err() == nil {
					mu.Lock()
					if len(wrong) < enough {
						wrong = append(wrong, fmt.Sprintf("hostile request: %v", err))
					}
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return int(sent.Load()), wrong
}
