package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestStoreSurvivesTheServer kills the server and starts it again under an open store: calls fail
// with unavailable while it is away, and nothing needs to be opened again afterwards.
func TestStoreSurvivesTheServer(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	for seq := range int64(3) {
		for _, store := range p.stores {
			if _, err := one(t.Context(), store, p.request(seq)); err != nil {
				t.Fatal(err)
			}
		}
		if err := cluster.Kill(); err != nil {
			t.Fatal(err)
		}
		for _, store := range p.stores {
			_, err := one(t.Context(), store, p.request(seq+1))
			if !errors.Is(err, service.ErrUnavailable) {
				t.Errorf("Append without a server: %v, want unavailable", err)
			}
			if _, err := store.Heads(t.Context(), []service.TopicName{p.topic.Name}); !errors.Is(err, service.ErrUnavailable) {
				t.Errorf("Heads without a server: %v, want unavailable", err)
			}
			if err := store.Ping(t.Context()); !errors.Is(err, service.ErrUnavailable) {
				t.Errorf("Ping without a server: %v, want unavailable", err)
			}
		}
		if err := cluster.Restart(); err != nil {
			t.Fatal(err)
		}
		for _, store := range p.stores {
			if err := eventually(t, func() error { return store.Ping(t.Context()) }); err != nil {
				t.Fatal(err)
			}
			messages, err := store.Read(t.Context(), p.topic.ID, 0, 100, 1<<20)
			if err != nil || int64(len(messages)) != seq+1 {
				t.Fatalf("after the restart there are %d messages, want %d (%v)", len(messages), seq+1, err)
			}
		}
	}
}

// TestServerKilledUnderLoad: what was acknowledged is there, what was not is stored by repeating it,
// and every seq is stored once.
func TestServerKilledUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	answers := make(chan map[int64]service.Offset, 1)
	appended := make(chan struct{}, 1000)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		got := map[int64]service.Offset{}
		for seq := int64(0); ctx.Err() == nil && seq < 1000; {
			result, err := one(context.WithoutCancel(ctx), p.stores[seq%2], p.request(seq))
			if err != nil {
				if !errors.Is(err, service.ErrUnavailable) && !errors.Is(err, service.ErrOutcomeUnknown) {
					t.Errorf("seq %d: %v", seq, err)
					break
				}
				continue // the same seq again
			}
			got[seq] = result.Ranges[0].Offset
			seq++
			appended <- struct{}{}
		}
		answers <- got
	}()
	for range 3 {
		for range 20 {
			<-appended
		}
		if err := errors.Join(cluster.Kill(), cluster.Restart()); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		<-appended
	}
	stop()
	got := <-answers
	messages, err := p.stores[0].Read(t.Context(), p.topic.ID, 0, 2000, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != len(got) {
		t.Errorf("%d messages are stored, %d were acknowledged", len(messages), len(got))
	}
	for i, m := range messages {
		if m.Seq != int64(i) || got[m.Seq] != m.Offset {
			t.Errorf("seq %d is at %d and was acknowledged at %d", m.Seq, m.Offset, got[m.Seq])
		}
	}
}

// eventually calls until there is no error, for at most half a minute.
func eventually(t *testing.T, call func() error) error {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := call()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
}
