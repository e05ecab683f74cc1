package nemesis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/torture/hostile"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

const (
	slowEach = 24 // clients of each kind
	// slowCut is more than any deadline that the broker is given for this round, long answers included.
	slowCut = 45 * time.Second
	// oldTransaction is more than any that the workload makes, on a machine that is busy.
	oldTransaction  = 4 * time.Second
	slowClientsPeak = 500 // MiB: 48 answers of a few megabytes that nobody takes, and their encoding
)

// slowClients is N20.
func slowClients() []Nemesis {
	return []Nemesis{{
		ID: "N20", Name: "clients that send and read at a byte a second", Engines: []string{SQLite, Postgres},
		Faults: "slow clients", Round: slowClientsRound,
	}}
}

// slowClientsRound connects clients that are slow in every way. The broker cuts them at their deadlines,
// shortened for this round, and they hold no connection to the database: it has five.
func slowClientsRound(ctx context.Context, r *Round) error {
	args := []string{"--read-header-seconds", "1", "--read-body-seconds", "2"}
	if r.Engine == Postgres {
		args = append(args, "--max-conns", "5", "--lanes", "1")
	}
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{Args: args})
	if err != nil {
		return err
	}
	b := brokers[0]
	w, err := r.Workload(ctx, workload.Options{BigPayloads: true, Producers: 8})
	if err != nil {
		return err
	}
	watch := r.watchTransactions(ctx)
	from := w.Recorder().Now()
	kinds := hostile.SlowKinds()
	outcomes := make([]hostile.Outcome, len(kinds))
	var group sync.WaitGroup
	for i, kind := range kinds {
		r.Fault(slowEach)
		group.Go(func() {
			outcomes[i] = hostile.BeSlow(ctx, kind, b.Addr(), w.Topics()[0], slowEach, slowCut)
		})
	}
	group.Wait()
	ended := time.Now()
	r.Result.Extra["rate_meanwhile"] = w.Rate(from, w.Recorder().Now())
	if oldest := watch(); oldest > oldTransaction {
		r.Violation("I20: a transaction was open for %s while clients were slow", oldest)
	}
	r.judgeSlow(outcomes)
	if mib := r.peak(b); mib > slowClientsPeak {
		r.Violation("%d slow clients cost %.0f MiB", len(kinds)*slowEach, mib)
	}
	if rate := r.Result.Extra["rate_meanwhile"]; rate < r.Result.RateBefore/10 { // they do take their share of the processor
		r.Violation("%.0f produces a second while clients were slow, and %.0f before", rate, r.Result.RateBefore)
	}
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{})
}

func (r *Round) judgeSlow(outcomes []hostile.Outcome) {
	for _, o := range outcomes {
		r.Log.Info("slow clients", "outcome", o.String())
		r.Result.Extra["cut_ms_"+strings.ReplaceAll(string(o.Kind), " ", "_")] = float64(o.Longest.Milliseconds())
		if o.Uncut > 0 || o.Failed > 0 {
			r.Violation("slow clients: %s", o)
		}
	}
}

// watchTransactions looks for the oldest open transaction, until the function it returns is called. On
// SQLite there is nothing to see.
func (r *Round) watchTransactions(ctx context.Context) func() time.Duration {
	if r.Engine != Postgres {
		return func() time.Duration { return 0 }
	}
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan time.Duration, 1)
	go func() {
		oldest, err := oldestTransaction(ctx, r.store)
		if err != nil {
			r.Log.ErrorContext(ctx, "watching transactions", "error", err)
			oldest = time.Hour // what was not watched is not right
		}
		result <- oldest
	}()
	return func() time.Duration {
		cancel()
		oldest := <-result
		r.Result.Extra["oldest_transaction_ms"] = float64(oldest.Milliseconds())
		return oldest
	}
}

func oldestTransaction(ctx context.Context, database string) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, fmt.Errorf("watch transactions: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	oldest := time.Duration(0)
	for {
		var seconds float64
		err := conn.QueryRow(ctx, `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
			FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'`).Scan(&seconds)
		if ctx.Err() != nil {
			return oldest, nil
		}
		if err != nil {
			return oldest, err
		}
		oldest = max(oldest, time.Duration(seconds*float64(time.Second)))
		if server.Pause(ctx, 50*time.Millisecond) != nil {
			return oldest, nil
		}
	}
}
