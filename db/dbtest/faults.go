//go:build faults

package dbtest

import (
	"errors"
	"testing"

	"github.com/topiq/topiq/service"
)

// Faults tries the fault points of an engine that are errors: before COMMIT nothing has happened, and
// the same call succeeds when the fault is over; after it the outcome is unknown, and what was stored
// is found by the repeat.
func Faults(t *testing.T, open func(t *testing.T) service.Store) {
	t.Helper()
	k := &kit{T: t, Store: open(t), prefix: "faults-"}
	for _, point := range []string{
		"produce.before_begin", "produce.after_lock", "produce.after_check", "produce.after_insert",
		"produce.before_commit", "produce.after_commit_before_reply",
	} {
		t.Run(point, func(t *testing.T) { k.on(t).produceFault(point) })
	}
	t.Run("offset.before_commit", func(t *testing.T) { k.on(t).offsetFault("offset.before_commit") })
}

// on is the kit for a part of a test.
func (k *kit) on(t *testing.T) *kit {
	t.Helper()
	own := *k
	own.T = t
	return &own
}

func (k *kit) produceFault(point string) {
	k.Helper()
	topic := k.topic(point)
	p := k.producer(topic.Name, "p")
	request := service.AppendRequest{
		Topic: topic.ID, Producer: p.ID, Epoch: &p.Epoch, Seq: 0, Payloads: []service.Payload{{Bytes: []byte("x")}},
	}
	k.Setenv("TOPIQ_FAULTS", point+"=error")
	_, err := k.Append(k.Context(), []service.AppendRequest{request}, start())
	k.Setenv("TOPIQ_FAULTS", "")
	stored := point == "produce.after_commit_before_reply"
	want, next := error(service.ErrUnavailable), service.Offset(0)
	if stored {
		want, next = service.ErrOutcomeUnknown, 1
	}
	if !errors.Is(err, want) {
		k.Errorf("append: %v, want %v", err, want)
	}
	if got := k.head(topic.Name).Next; got != next {
		k.Errorf("the topic ends at %d, want %d", got, next)
	}
	result := k.append(request)[0]
	if result.Err != nil || result.Duplicate != stored || result.Ranges[0].Offset != 0 {
		k.Errorf("the repeat: %+v", result)
	}
}

func (k *kit) offsetFault(point string) {
	k.Helper()
	topic := k.topic(point)
	k.fill(topic, 3)
	c := k.consumer(topic.Name, "c", service.FromBeginning)
	calls := map[string]func() error{
		"Move": func() error {
			_, err := k.Move(k.Context(), []service.MoveRequest{
				{Topic: topic.ID, Consumer: c.ID, Limit: 1, MaxBytes: 1 << 20},
			}, nil, start())
			return err
		},
		"Seek": func() error {
			_, err := k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: 2}, start())
			return err
		},
		"CommitOffsets": func() error {
			return k.CommitOffsets(k.Context(), []service.OffsetCommit{{Consumer: c.ID, Offset: 3}}, start())
		},
	}
	for name, call := range calls {
		k.Setenv("TOPIQ_FAULTS", point+"=error")
		if err := call(); !errors.Is(err, service.ErrUnavailable) {
			k.Errorf("%s: %v, want unavailable", name, err)
		}
		k.Setenv("TOPIQ_FAULTS", "")
		if got := k.consumerNow(c.ID).Offset; got != 0 {
			k.Errorf("%s moved the consumer to %d, and failed", name, got)
		}
	}
	for _, name := range []string{"Move", "CommitOffsets", "Seek"} {
		if err := calls[name](); err != nil {
			k.Errorf("%s without the fault: %v", name, err)
		}
	}
}
