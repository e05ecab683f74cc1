package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/service"
)

// TestSweepsLeaveNothingBehind: a broker sweeps rows that another is just sweeping. It finds them gone,
// which does not mean that there are no more.
func TestSweepsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for seq := range int64(5) {
		if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stores[0].DeleteTopic(t.Context(), p.topic.Name, time.Now()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	other, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `DELETE FROM messages WHERE "offset" < 4`); err != nil {
		t.Fatal(err)
	}
	swept := make(chan error, 1)
	go func() {
		_, err := p.stores[0].Sweep(t.Context(), 4)
		swept <- err
	}()
	waitForLock(t, other)
	if err := other.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		if n, err = p.stores[1].Sweep(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"messages", "producers", "deleted_topics"} {
		var left int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&left); err != nil || left > 0 {
			t.Errorf("%d rows of %s are left, %v", left, table, err)
		}
	}
}

// waitForLock returns when somebody waits for a lock of a transaction.
func waitForLock(t *testing.T, holder pgx.Tx) {
	t.Helper()
	err := eventually(t, func() error {
		var waits bool
		err := holder.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity "+
			"WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))").Scan(&waits)
		if err == nil && !waits {
			err = errors.New("nobody waits")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAppendToADeletedTopicWaitsForNobody: without its head nothing orders those that lock its producers.
func TestAppendToADeletedTopicWaitsForNobody(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	if err := p.stores[0].DeleteTopic(t.Context(), p.topic.Name, time.Now()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	other, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SELECT 1 FROM producers FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	byName := p.request(service.NoSeq)
	byName.Producer, byName.Epoch, byName.ProdName = 0, nil, "p"
	for _, r := range []service.AppendRequest{p.request(0), byName} {
		if _, err := one(t.Context(), p.stores[0], r); !errors.Is(err, service.ErrTopicNotFound) {
			t.Errorf("Append: %v, want topic_not_found", err)
		}
	}
}

// TestMoveSeesAHole: what the head promises and the table lacks is damage, and not something that was
// trimmed a moment ago.
func TestMoveSeesAHole(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for seq := range int64(2) {
		if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
			t.Fatal(err)
		}
	}
	consumer, _, err := p.stores[0].RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: p.topic.Name})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, p.url, `DELETE FROM messages WHERE "offset" = 0`)
	for _, limit := range []int{1, 2} {
		_, err := p.stores[0].Move(t.Context(), []service.MoveRequest{{
			Topic: p.topic.ID, Consumer: consumer.ID, Limit: limit, MaxBytes: 100,
		}}, nil, time.Now())
		if !errors.Is(err, service.ErrInternal) {
			t.Errorf("Move of %d: %v, want internal", limit, err)
		}
	}
}
