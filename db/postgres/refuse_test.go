package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestLockedHeadIsUnavailable: somebody sits on the head's lock. An append gives up after the lock
// timeout, and nothing of it is stored.
func TestLockedHeadIsUnavailable(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM heads FOR NO KEY UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := one(t.Context(), p.stores[0], p.request(0)); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("Append to a locked head: %v, want unavailable", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, err := one(t.Context(), p.stores[0], p.request(0))
	if err != nil || result.Duplicate || result.Ranges[0].Offset != 0 {
		t.Errorf("Append afterwards: %+v, %v", result, err)
	}
}

// TestDataTheDatabaseRefuses is told apart from everything else: only then is a group split (P7).
func TestDataTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	anonymous, _, err := p.stores[0].RegisterProducer(t.Context(), registration(p.topic.Name, ""))
	if err != nil {
		t.Fatal(err)
	}
	r := p.request(service.NoSeq)
	r.Producer, r.Epoch, r.ProdName = anonymous.ID, nil, "a\x00b"
	_, err = one(t.Context(), p.stores[0], r)
	if !errors.Is(err, service.ErrInternal) || !errors.Is(err, service.ErrBadData) {
		t.Errorf("Append: %v, want internal with ErrBadData", err)
	}
	if _, err := one(t.Context(), p.stores[0], p.request(0)); err != nil {
		t.Errorf("Append afterwards: %v", err)
	}
}

// TestRestartedServerServesNothingBeforeItsStandbyHasIt: after a restart the server shows commits that
// were waiting for the standby when it died. A reader must not see them before the standby has them.
func TestRestartedServerServesNothingBeforeItsStandbyHasIt(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	stuck := p.appendWithoutStandby(t.Context(), t)
	waitForStandby(t, cluster.URL())
	if err := errors.Join(cluster.Kill(), cluster.Restart()); err != nil {
		t.Fatal(err)
	}
	answer := <-stuck
	if !errors.Is(answer.err, service.ErrOutcomeUnknown) {
		t.Errorf("Append: %v, want outcome_unknown", answer.err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		messages, err := p.stores[1].Read(ctx, p.topic.ID, 0, 10, 1<<20)
		cancel()
		if !errors.Is(err, service.ErrUnavailable) {
			t.Fatalf("Read: %d messages, %v, want unavailable", len(messages), err)
		}
	}
	bringStandby(t, cluster.URL())
	var messages []service.Message
	err := eventually(t, func() (err error) {
		messages, err = p.stores[1].Read(t.Context(), p.topic.ID, 0, 10_000, 1<<20)
		return err
	})
	if want := int(answer.seq) + 1; err != nil || len(messages) != want {
		t.Errorf("Read with the standby: %d messages, %v, want %d", len(messages), err, want)
	}
}
