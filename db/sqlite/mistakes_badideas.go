//go:build badideas

package sqlite

import (
	"context"
	"time"

	"github.com/topiq/topiq/fault"
)

// ackEarly is by how much an acknowledgement is too early.
const ackEarly = 5 * time.Millisecond

// doAppend runs the transaction of an append, but for one mistake: to acknowledge before the COMMIT.
func (w *writer) doAppend(ctx context.Context, work func(context.Context, *tx) error) error {
	if !fault.Mistake("ack_before_commit") {
		return w.do(ctx, work)
	}
	planned := make(chan error, 2)
	go func() {
		planned <- w.do(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
			err := work(ctx, t)
			if err == nil {
				planned <- nil
				<-time.After(ackEarly)
			}
			return err
		})
	}()
	return <-planned
}

// spoiled are the settings of the writer, but for two mistakes.
func spoiled(settings []setting) []setting {
	for i := range settings {
		s := &settings[i]
		switch {
		case s.name == "synchronous" && fault.Mistake("sqlite_synchronous_normal"):
			s.value, s.reads = "NORMAL", "1"
		case s.name == "journal_mode" && fault.Mistake("sqlite_delete_full"):
			s.value, s.reads = "DELETE", "delete"
		}
	}
	return settings
}
