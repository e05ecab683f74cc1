package nemesis

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/topiq/topiq/torture/pgproxy"
	"github.com/topiq/topiq/torture/workload"
)

const (
	cutShare  = 0.2 // of all commits
	cutsWant  = 300 // a round ends when there were so many,
	cutsLeast = 100 // or when time is up; with fewer it does not count
	cutsLimit = 45 * time.Second
)

// cutCommit is N7.
func cutCommit() []Nemesis {
	return []Nemesis{{
		ID: "N7", Name: "connection to the database cut at COMMIT", Engines: []string{Postgres},
		Cut: true, Short: 1, Faults: "cuts", Round: cutCommitRound,
	}}
}

// cutPolicy cuts a fifth of all commits, the first of a connection too: before the COMMIT, right after
// it, before its answer and within its answer. A few are held, or fall into a black hole for a moment.
func cutPolicy() pgproxy.Policy {
	cuts := pgproxy.Some(cutShare,
		pgproxy.Action{Kind: pgproxy.CutBefore}, pgproxy.Action{Kind: pgproxy.CutAfter},
		pgproxy.Action{Kind: pgproxy.DropAnswer}, pgproxy.Action{Kind: pgproxy.CutAnswer})
	return func(r *rand.Rand, c pgproxy.Commit) pgproxy.Action {
		if r.IntN(100) > 0 {
			return cuts(r, c)
		}
		kinds := []pgproxy.Kind{pgproxy.HoldBefore, pgproxy.HoldAfter, pgproxy.BlackHoleBefore, pgproxy.BlackHoleAfter}
		return pgproxy.Action{
			Kind: kinds[r.IntN(len(kinds))], For: time.Duration(r.Int64N(int64(300 * time.Millisecond))), Reset: true,
		}
	}
}

// cutCommitRound has two brokers commit for the same topics while their connections are cut.
func cutCommitRound(ctx context.Context, r *Round) error {
	l, err := r.lines(ctx, 2, BrokerOptions{})
	if err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{Rate: 600, Producers: 12}); err != nil {
		return err
	}
	l.setPolicy(cutPolicy())
	cuts := func() int { _, n := l.faults(); return n }
	if _, err := until(ctx, cutsLimit, func() bool { return cuts() >= r.Times(cutsWant) }); err != nil {
		return err
	}
	l.setPolicy(pgproxy.PassAll)
	ended := time.Now()
	kinds, n := l.faults()
	r.FaultsMade(n)
	r.extra("", kinds)
	if n < cutsLeast {
		r.Invalid("only %d commits were cut in %s, want %d", n, cutsLimit, cutsLeast)
	}
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{AuditAt: l.direct})
}
