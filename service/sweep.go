package service

import (
	"context"
	"time"

	"github.com/topiq/topiq/fault"
)

// sweepRows is how many rows one sweep removes at most: small enough that no produce notices.
const sweepRows = 1000

// sweepSoon asks the sweeper to look now.
func (b *Broker) sweepSoon() {
	select {
	case b.sweep <- struct{}{}:
	default: // it has been asked already
	}
}

// sweepLoop removes the rows that nothing leads to any more, of deleted topics and below first offsets: at
// the start (another broker may have been killed in the middle), after each deletion and trim here, and
// now and then.
func (b *Broker) sweepLoop(ctx context.Context) {
	ticker := time.NewTicker(b.config.SweepInterval)
	defer ticker.Stop()
	for {
		b.sweepAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-b.sweep:
		case <-ticker.C:
		}
	}
}

func (b *Broker) sweepAll(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := b.store.Sweep(ctx, sweepRows)
		if err == nil && n > 0 {
			err = fault.Point("retention.between_batches")
		}
		if err != nil {
			if ctx.Err() == nil {
				b.log.WarnContext(ctx, "sweeping failed; trying again later", "error", err)
			}
			return
		}
		if n == 0 {
			return
		}
	}
}
