//go:build badideas

package service_test

import (
	"testing"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// Each test shows that a mistake does what it is there for. They are not parallel, for the
// environment is everybody's.

func commit(t *testing.T, name string) {
	t.Helper()
	t.Setenv("TOPIQ_MISTAKE", name)
}

func TestMistakeEpochNotChecked(t *testing.T) {
	commit(t, "epoch_not_checked")
	f := newFixture(t)
	old := f.named("p")
	f.named("p")
	if _, err := f.send(old, 0, "of a session that is over"); err != nil {
		t.Errorf("a fenced session: %v", err)
	}
}

func TestMistakeNoDedupe(t *testing.T) {
	commit(t, "no_dedupe")
	f := newFixture(t)
	p := f.named("p")
	for want := range service.Offset(2) {
		result, err := f.send(p, 0, "a")
		if err != nil {
			t.Fatal(err)
		}
		if offset, _ := result.Offset(); offset != want || result.Duplicate {
			t.Errorf("seq 0 is at %d, duplicate %t, and should be stored again at %d", offset, result.Duplicate, want)
		}
	}
}

func TestMistakeDuplicateWithoutWrite(t *testing.T) {
	commit(t, "duplicate_without_write")
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	p := f.named("p")
	if _, err := f.send(p, 0, "a"); err != nil {
		t.Fatal(err)
	}
	written := -1
	store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		plan, err := do()
		written = len(plan.Topics) + len(plan.Producers)
		return plan, err
	}
	result, err := f.send(p, 0, "a")
	if err != nil || !result.Duplicate {
		t.Fatalf("the repeat: %+v, %v", result, err)
	}
	want(t, "rows to write for a duplicate", written, 0)
}

func TestMistakeUnknownIsFailure(t *testing.T) {
	commit(t, "unknown_is_failure")
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	p := f.named("p")
	store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		if _, err := do(); err != nil {
			return service.AppendPlan{}, err
		}
		return service.AppendPlan{}, service.ErrOutcomeUnknown
	}
	_, err := f.send(p, 0, "a ghost")
	want(t, "the answer", service.CodeOf(err), service.CodeInvalidRequest)
	got, err := f.look(0)
	wantErr(t, "read", err, nil)
	want(t, "and yet it is stored", got, []string{"a ghost"})
}

func TestMistakeConsumeAdvancesAtRead(t *testing.T) {
	commit(t, "consume_advances_at_read")
	f := newFixture(t)
	f.produce("a", "b")
	for range 2 { // the first looks, the second might know
		got, err := f.consumeAt(f.committed(), 0)
		wantErr(t, "consume", err, nil)
		want(t, "committed without being told that it came", f.committed(), got.Offset)
	}
	_, err := f.consumeAt(0, 0)
	wantErr(t, "the repeat after a lost answer", err, service.ErrOffsetBehind)
}

func TestMistakeNotifyOnly(t *testing.T) {
	commit(t, "notify_only")
	store := shared{memory.New(memory.Config{})}
	a := setup(t, open(t, store, service.Config{}))
	b := setup(t, open(t, store, service.Config{}))
	if _, err := b.look(0); err != nil { // it knows the topic from now on
		t.Fatal(err)
	}
	a.produce("of another broker")
	got, err := b.look(0)
	wantErr(t, "read", err, nil)
	want(t, "acknowledged by another broker, and not seen", len(got), 0)
}

func TestMistakeIdentityIgnored(t *testing.T) {
	want(t, "another database", service.Foreign("one", "two"), true)
	commit(t, "identity_ignored")
	want(t, "another database, and nobody looks", service.Foreign("one", "two"), false)
}
