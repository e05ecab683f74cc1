package nemesis

import (
	"context"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/history"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// stallLimit is how long a broker that cannot be reached may keep a topic from the others. The server
// ends its transaction after five seconds, and those who wait for its lock give up every two. The rest is
// for a machine that is busy.
const stallLimit = 12 * time.Second

// blackHole is N8, and the same with holes that are longer than every timeout.
func blackHole() []Nemesis {
	round := func(holes ...[2]time.Duration) func(context.Context, *Round) error {
		return func(ctx context.Context, r *Round) error { return blackHoleRound(ctx, r, holes) }
	}
	return []Nemesis{{
		ID: "N8", Name: "black hole between broker and database, 1-12 s", Engines: []string{Postgres},
		Cut: true, Faults: "holes",
		Round: round([2]time.Duration{time.Second, 3 * time.Second}, [2]time.Duration{8 * time.Second, 12 * time.Second}),
	}, {
		ID: "N8-long", Name: "black hole between broker and database, 30-120 s", Engines: []string{Postgres},
		Cut: true, Faults: "holes", Round: round([2]time.Duration{30 * time.Second, 2 * time.Minute}),
	}}
}

// blackHoleRound lets one of two brokers lose its database for a while, without anybody being told. The
// clients of the other must be served on the same topics.
func blackHoleRound(ctx context.Context, r *Round, holes [][2]time.Duration) error {
	l, err := r.lines(ctx, 2, BrokerOptions{})
	if err != nil {
		return err
	}
	// Two workloads on the same topics. The second has clients of the other broker alone, which never
	// wait for the one in the hole: they measure.
	w, err := r.Workload(ctx, workload.Options{Prefix: "n8", Producers: 12, Unsequenced: -1})
	if err != nil {
		return err
	}
	rate := r.Result.RateBefore
	if _, err := r.Workload(ctx, workload.Options{
		Prefix: "n8", URLs: []string{l.brokers[1].URL()}, Unsequenced: 3, Rate: 60,
		Producers: -1, Takeovers: -1, Pollers: -1, Consumers: -1, Plain: -1, Seekers: -1,
	}); err != nil {
		return err
	}
	r.Result.RateBefore = rate // of the first, which is the one that must get it back
	for _, hole := range holes {
		length := hole[0] + time.Duration(r.Rand.Int64N(int64(hole[1]-hole[0])))
		r.FaultSoon()
		from := w.Recorder().Now()
		l.proxies[0].OpenHole()
		if err := server.Pause(ctx, length); err != nil {
			return err
		}
		l.proxies[0].CloseHole()
		ended := time.Now()
		r.stalled(from, w.Recorder().Since(ended), length)
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	if c := l.proxies[0].Counts(); c.Swallowed == 0 {
		r.Invalid("nothing fell into the hole")
	}
	return r.Check(ctx, CheckOptions{AuditAt: l.direct})
}

// stalled notes the longest time in which the second broker acknowledged nothing on a topic on which it had
// before.
func (r *Round) stalled(from, to int64, hole time.Duration) {
	last, worst := map[string]int64{}, time.Duration(0)
	for _, op := range r.workloads[0].Recorder().Ops() {
		if op.Kind != history.Produce || op.Outcome != history.OK || op.Return >= to || !strings.HasPrefix(op.Client, "n8-u") {
			continue
		}
		if since, ok := last[op.Topic]; ok {
			worst = max(worst, time.Duration(op.Return-since))
		}
		last[op.Topic] = max(last[op.Topic], op.Return, from)
	}
	for _, since := range last {
		worst = max(worst, time.Duration(to-since))
	}
	r.Result.Extra["stall_ms"] = max(r.Result.Extra["stall_ms"], float64(worst.Milliseconds()))
	r.Log.Info("black hole", "length", hole, "longest_stall_through_the_other_broker", worst)
	if len(last) == 0 {
		r.Invalid("the clients that measure had stored nothing")
	}
	if worst > stallLimit {
		r.Violation("a broker in a black hole of %s kept a topic from the other for %s", hole, worst)
	}
}
