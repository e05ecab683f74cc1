package nemesis

import (
	"context"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// race is how one round of N15 goes: with how many brokers, one after the other, and for how long each.
type race struct {
	brokers []int
	length  time.Duration
}

// raceBrokers is N15, and the same with four brokers for minutes.
func raceBrokers() []Nemesis {
	return []Nemesis{{
		ID: "N15", Name: "two and four brokers race with one producer's messages", Engines: []string{Postgres},
		Short: 1, Faults: "requests sent to all brokers at once",
		Round: func(ctx context.Context, r *Round) error {
			return raceBrokersRound(ctx, r, race{brokers: []int{2, 4}, length: time.Duration(r.Times(8)) * time.Second})
		},
	}, {
		ID: "N15-long", Name: "four brokers race with one producer's messages for 3 minutes", Engines: []string{Postgres},
		Faults: "requests sent to all brokers at once",
		Round: func(ctx context.Context, r *Round) error {
			return raceBrokersRound(ctx, r, race{brokers: []int{4}, length: 3 * time.Minute})
		},
	}}
}

// raceBrokersRound lets brokers race: every request goes to all of them at the same moment, so that each
// is a race of as many transactions for one seq. Sessions are taken over meanwhile, and ordinary clients
// work on, before, during and after it.
func raceBrokersRound(ctx context.Context, r *Round, race race) error {
	if _, err := r.Brokers(ctx, 2, BrokerOptions{}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{Topics: 1, Rate: 200}); err != nil {
		return err
	}
	for _, n := range race.brokers {
		if _, err := r.Brokers(ctx, n-len(r.brokers), BrokerOptions{}); err != nil {
			return err
		}
		r.FaultsMade(0) // the racers are the fault
		w, err := r.Workload(ctx, workload.Options{
			Topics: 1, Producers: 3, Takeovers: 2, Takeover: 500 * time.Millisecond, Rate: 200, Everywhere: true,
		})
		if err != nil {
			return err
		}
		before := w.SentEverywhere()
		if err := server.Pause(ctx, race.length); err != nil {
			return err
		}
		r.FaultsMade(w.SentEverywhere() - before)
		for _, p := range w.Stop(recoveryLimit) {
			r.violation("%s", p)
		}
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	r.Result.Extra["brokers"] = float64(len(r.brokers))
	r.Result.Extra["raced_s"] = race.length.Seconds()
	return r.Check(ctx, CheckOptions{})
}
