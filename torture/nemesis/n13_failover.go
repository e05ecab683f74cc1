package nemesis

import (
	"context"
	"errors"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/standby"
	"github.com/topiq/topiq/torture/workload"
)

// failover is N13.
func failover() Nemesis {
	return Nemesis{
		ID: "N13", Name: "failover to the synchronous standby", Engines: []string{Postgres},
		Cut: true, Short: 1, Faults: "failovers", Round: failoverRound,
	}
}

// pair starts two servers of which one follows the other, and makes them the store of the round.
func (r *Round) pair(ctx context.Context, synchronous bool) (*standby.Pair, error) {
	p, err := standby.Start(ctx, standby.Config{Dir: r.Path("pair"), Synchronous: synchronous, Settings: r.Env.Settings})
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() {
		if err := p.Stop(); err != nil {
			r.Log.ErrorContext(ctx, "a pair of servers was not stopped", "error", err)
		}
	})
	if err := p.Primary().Exec(ctx, "postgres", "CREATE DATABASE "+Database); err != nil {
		return nil, err
	}
	r.UseStore(p.URL(Database))
	return p, nil
}

// failoverRound takes the primary away in two ways and cancels waits, each several times. Nothing that was
// acknowledged or shown may be missing on the standby.
func failoverRound(ctx context.Context, r *Round) error {
	p, err := r.pair(ctx, true)
	if err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 2, BrokerOptions{Args: []string{"--replicated"}}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	if err := r.loneProducers(ctx); err != nil {
		return err
	}
	ways := []func(context.Context, *standby.Pair) error{r.standbyAlive, r.standbyDead, r.waitCancelled}
	for _, i := range r.Rand.Perm(len(ways) * r.Times(2)) {
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(time.Second)))); err != nil {
			return err
		}
		if err := ways[i%len(ways)](ctx, p); err != nil {
			return err
		}
	}
	// The audit asks the primary alone.
	return r.Check(ctx, CheckOptions{AuditAt: p.Primary().URL(Database)})
}

// loneProducers are the only clients of their topics, and ask again soon, at a broker of their own that does nothing
// else. What they repeat is not committed together with what others send, nor on a new connection, which begins with a
// commit: so an answer to it has nothing to rest on but itself.
func (r *Round) loneProducers(ctx context.Context) error {
	if _, err := r.Brokers(ctx, 1, BrokerOptions{Args: []string{"--replicated"}}); err != nil {
		return err
	}
	rate := r.Result.RateBefore // which is that of the others
	_, err := r.Workload(ctx, workload.Options{
		Spare:  true,
		Topics: 4, Producers: 1, Takeovers: -1, Unsequenced: -1, Pollers: -1, Consumers: -1, Plain: -1, Seekers: -1,
		NoShort: true, Rate: 40, Timeout: time.Second,
	})
	r.Result.RateBefore = rate
	return err
}

// takeOver makes the standby the primary, whose predecessor is dead, gives it a standby of its own,
// and waits until everybody works.
func (r *Round) takeOver(ctx context.Context, p *standby.Pair) error {
	began := time.Now()
	if err := p.Promote(ctx); err != nil {
		return err
	}
	promoted := r.workloads[0].Acked()
	// Commits wait until there is a standby again.
	if err := p.Rebuild(ctx); err != nil {
		return err
	}
	ended := time.Now()
	if _, err := until(ctx, recoveryLimit, func() bool { return r.workloads[0].Acked() > promoted }); err != nil {
		return err
	}
	first := "first_ack_ms"
	r.Result.Extra[first] = max(r.Result.Extra[first], float64(time.Since(began).Milliseconds()))
	return r.Recovered(ctx, ended)
}

// standbyAlive kills the primary while the standby follows.
func (r *Round) standbyAlive(ctx context.Context, p *standby.Pair) error {
	r.FaultSoon()
	p.Primary().Kill()
	return r.takeOver(ctx, p)
}

// commitsWait kills the standby and waits until a commit waits for it in vain.
func (r *Round) commitsWait(ctx context.Context, p *standby.Pair) error {
	p.Standby().Kill()
	var failed error
	ok, err := until(ctx, recoveryLimit, func() bool {
		n, err := p.Waiting(ctx)
		failed = err
		return err != nil || n > 0
	})
	if !ok {
		r.Invalid("no commit waited for the standby that is dead")
	}
	return errors.Join(err, failed)
}

// standbyDead kills first the standby and then the primary, whose commits wait. The primary comes back
// once more, alone, and shows what its standby lacks; then it goes for good. What was not on the
// standby must not have been acknowledged, and not have been shown.
func (r *Round) standbyDead(ctx context.Context, p *standby.Pair) error {
	if err := r.commitsWait(ctx, p); err != nil {
		return err
	}
	r.FaultSoon()
	p.Primary().Kill()
	if err := p.Primary().Start(ctx); err != nil {
		return err
	}
	if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(3*time.Second)))); err != nil {
		return err
	}
	p.Primary().Kill()
	if err := p.Standby().Start(ctx); err != nil {
		return err
	}
	return r.takeOver(ctx, p)
}

// cancelFor is how long waits are cancelled: longer than a client waits for an answer, so that it asks
// again, through another broker, for what the primary shows and the standby does not have.
const cancelFor = 5 * time.Second

// waitCancelled has an operator cancel the sessions that wait for a dead standby: the server answers
// success and a warning, and shows the rows. That must not become an acknowledgement as long as the
// standby is away. Then the standby comes back: were it promoted instead, what the primary has shown by
// the operator's order would be gone, which no broker can prevent.
func (r *Round) waitCancelled(ctx context.Context, p *standby.Pair) error {
	if err := r.commitsWait(ctx, p); err != nil {
		return err
	}
	alone := r.workloads[0].Recorder().Now()
	for began := time.Now(); time.Since(began) < cancelFor; {
		n, err := p.CancelWaits(ctx)
		if err != nil {
			return err
		}
		r.Result.Extra["waits_cancelled"] += float64(n)
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(200*time.Millisecond)))); err != nil {
			return err
		}
	}
	if n := r.since(alone, acked); n > 0 {
		r.Violation("P8: %d requests were acknowledged while the standby was away and the waits for it were cancelled", n)
	}
	if err := p.StartStandby(ctx); err != nil {
		return err
	}
	return r.Recovered(ctx, time.Now())
}
