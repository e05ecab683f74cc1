package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/standby"
	"github.com/topiq/topiq/torture/workload"
)

// laggingFailover is N14.
func laggingFailover() Nemesis {
	return Nemesis{
		ID: "N14", Name: "failover to an asynchronous standby that lags", Engines: []string{Postgres},
		Cut: true, Faults: "failovers that lose", Round: laggingFailoverRound,
	}
}

// lag is how many requests to produce the standby lacks, at least.
const lag = 50

// laggingFailoverRound fails over to a standby that has stopped to follow. What it lacks is lost, and
// that must be noticed: by a new incarnation of each topic, under which nothing of the old is mixed
// in.
func laggingFailoverRound(ctx context.Context, r *Round) error {
	p, err := r.pair(ctx, false)
	if err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 2, BrokerOptions{}); err != nil {
		return err
	}
	w, err := r.Workload(ctx, workload.Options{})
	if err != nil {
		return err
	}
	for range 3 {
		if err := r.lagBehind(ctx, p, w); err != nil {
			return err
		}
		before, err := r.incarnations(ctx)
		if err != nil {
			return err
		}
		r.FaultSoon()
		p.Primary().Kill()
		if err := p.Promote(ctx); err != nil {
			return err
		}
		if err := r.Recovered(ctx, time.Now()); err != nil {
			return err
		}
		if err := r.detected(ctx, before); err != nil {
			return err
		}
		if err := p.Rebuild(ctx); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{AuditAt: p.Primary().URL(Database), Rules: check.Rules{MayLose: true}})
}

// lagBehind lets the standby catch up, and then lack some requests.
func (r *Round) lagBehind(ctx context.Context, p *standby.Pair, w *workload.Workload) error {
	if err := p.CatchUp(ctx); err != nil {
		return err
	}
	if err := p.Disconnect(ctx); err != nil {
		return err
	}
	target := w.Acked() + lag
	ok, err := until(ctx, recoveryLimit, func() bool { return w.Acked() >= target })
	if !ok {
		r.Invalid("the standby lacked fewer than %d requests", lag)
	}
	if err != nil {
		return err
	}
	return server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(500*time.Millisecond))))
}

// incarnations are those that the brokers show now, by topic.
func (r *Round) incarnations(ctx context.Context) (map[string]string, error) {
	final, err := check.ReadFinal(ctx, []string{r.brokers[0].URL()}, r.topics())
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for name, topic := range final.Topics {
		all[name] = topic.Contents[0].Incarnation
	}
	return all, nil
}

// detected checks that every topic that was there has another incarnation than before, through every
// broker. It counts how many had to be noticed, and how many were.
func (r *Round) detected(ctx context.Context, before map[string]string) error {
	for i, b := range r.brokers {
		final, err := check.ReadFinal(ctx, []string{b.URL()}, r.topics())
		if err != nil {
			r.Violation("P13: after a loss broker %d does not show what is left: %v", i, err)
			return ctx.Err()
		}
		for name, was := range before {
			r.Result.Extra["losses"]++
			topic := final.Topics[name]
			if topic == nil {
				r.Violation("P13: topic %s is not there any more for broker %d, as if it had never been", name, i)
				continue
			}
			if topic.Contents[0].Incarnation == was {
				r.Violation("P13: %s lost messages, and broker %d still answers with incarnation %s", name, i, was)
				continue
			}
			r.Result.Extra["losses_detected"]++
		}
	}
	return nil
}
