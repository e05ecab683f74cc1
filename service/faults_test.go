//go:build faults

package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/service"
)

// An error at a fault point fails the step as it would in truth: before the flush nothing is stored;
// behind it the outcome is unknown, and what was stored is found.
func TestFaultsOfAGroup(t *testing.T) {
	for point, outcome := range map[string]error{
		"group.before_flush":              service.ErrUnavailable,
		"group.after_flush_before_fanout": service.ErrOutcomeUnknown,
	} {
		t.Run(point, func(t *testing.T) {
			f := newFixture(t)
			t.Setenv("TOPIQ_FAULTS", point+"=error")
			_, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("a")})
			wantErr(t, "produce", err, outcome)
			t.Setenv("TOPIQ_FAULTS", "")
			stored := 1
			if outcome == service.ErrUnavailable { //nolint:errorlint // the value of this table
				stored = 0
			}
			got, err := f.look(0)
			wantErr(t, "read", err, nil)
			want(t, "stored", len(got), stored)
		})
	}
}

func TestFaultsOfPositions(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", "")
	synctest.Test(t, func(t *testing.T) { // for the broker insists for a while
		f := newFixture(t)
		f.produce("a", "b")
		t.Setenv("TOPIQ_FAULTS", "offset.after_commit=error")
		_, err := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer})
		wantErr(t, "plain consume", err, service.ErrOutcomeUnknown)
		_, err = f.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: f.consumer, Offset: new(service.Offset(2))})
		wantErr(t, "set_offset", err, service.ErrOutcomeUnknown)
		t.Setenv("TOPIQ_FAULTS", "")
		want(t, "moved all the same", f.committed(), 2)
	})
}

// A wake-up for another broker's message that is lost is made up for by the next one.
func TestFaultOfNotifyOnlyDelays(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", "notify.lost=error@0.5")
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		for i := range 20 {
			waiting := make(chan service.ConsumeResult, 1)
			go func() {
				got, err := b.consumeAt(service.Offset(i), time.Minute)
				wantErr(t, "consume", err, nil)
				waiting <- got
			}()
			synctest.Wait()
			a.produce("x")
			want(t, "it wakes", len((<-waiting).Messages), 1)
		}
	})
}
