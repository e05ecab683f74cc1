package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// raceBrokers is N15.
func raceBrokers() Nemesis {
	return Nemesis{
		ID: "N15", Name: "two and four brokers race with one producer's messages", Engines: []string{Postgres},
		Short: 1, Faults: "requests sent to all brokers at once", Round: raceBrokersRound,
	}
}

// raceBrokersRound lets two brokers and then four race: every request goes to all of them at the same
// moment, so that each is a race of as many transactions for one seq. Sessions are taken over
// meanwhile, and the ordinary clients work on.
func raceBrokersRound(ctx context.Context, r *Round) error {
	if _, err := r.Brokers(ctx, 2, BrokerOptions{}); err != nil {
		return err
	}
	for _, more := range []int{0, 2} {
		if more > 0 {
			if _, err := r.Brokers(ctx, more, BrokerOptions{}); err != nil {
				return err
			}
		}
		w, err := r.Workload(ctx, workload.Options{
			Topics: 1, Producers: 3, Takeovers: 2, Takeover: 500 * time.Millisecond, Rate: 200, Everywhere: true,
		})
		if err != nil {
			return err
		}
		before := w.SentEverywhere()
		if err := server.Pause(ctx, time.Duration(r.Times(16))*time.Second/2); err != nil {
			return err
		}
		r.FaultsMade(w.SentEverywhere() - before)
		if more == 0 { // the next workload is the only one then, and on all brokers
			for _, p := range w.Stop(recoveryLimit) {
				r.violation("%s", p)
			}
		}
	}
	r.Result.Extra["brokers"] = float64(len(r.brokers))
	return r.Check(ctx, CheckOptions{NoRate: true})
}
