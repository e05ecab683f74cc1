package nemesis

import (
	"context"
	"os"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// clockJumps is N16.
func clockJumps() Nemesis {
	return Nemesis{
		ID: "N16", Name: "clock jumps of a broker by an hour and by a year, both ways", Engines: []string{SQLite, Postgres, Memory},
		Faults: "jumps", Round: clockJumpsRound,
	}
}

// clockJumpsRound lets the clocks of brokers jump while clients work: no rule may notice (P14).
func clockJumpsRound(ctx context.Context, r *Round) error {
	const hour, year = time.Hour, 365 * 24 * time.Hour
	n := 1
	if r.Engine == Postgres {
		n = 2
	}
	var files []string
	for range n {
		file := r.Path("clock" + string(rune('0'+len(files))))
		if err := os.WriteFile(file, []byte("0s"), 0o644); err != nil {
			return err
		}
		files = append(files, file)
		b, err := r.NewBroker(ctx, BrokerOptions{Env: []string{"TOPIQ_CLOCK_FILE=" + file}})
		if err != nil {
			return err
		}
		if err := b.Start(ctx); err != nil {
			return err
		}
	}
	r.measureBaseline(ctx)
	w, err := r.Workload(ctx, workload.Options{})
	if err != nil {
		return err
	}
	for _, jump := range []time.Duration{hour, -hour, year, -year, 0, -year, year, 0} {
		r.FaultSoon()
		file := files[r.Rand.IntN(len(files))]
		if err := os.WriteFile(file+".new", []byte(jump.String()), 0o644); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil { // never half written
			return err
		}
		if err := server.Pause(ctx, 100*time.Millisecond); err != nil { // it is read every 50 ms
			return err
		}
		if err := r.Recovered(ctx, time.Now()); err != nil {
			return err
		}
		if err := server.Pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	if !jumped(w) {
		r.Invalid("no message shows a time that is wrong by months: the brokers do not read TOPIQ_CLOCK_FILE")
	}
	return r.Check(ctx, CheckOptions{})
}

// jumped says that the times of messages show the jumps: else the round has proved nothing.
func jumped(w *workload.Workload) bool {
	now := time.Now().UnixMicro()
	const month = int64(30 * 24 * time.Hour / time.Microsecond)
	for _, op := range w.Recorder().Ops() {
		for i := range op.Messages {
			if d := op.Messages[i].Created - now; d > month || d < -month {
				return true
			}
		}
	}
	return false
}
