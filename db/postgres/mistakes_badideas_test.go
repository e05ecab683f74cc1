//go:build badideas

package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// Each test shows that a mistake does what it is there for.

// race lets two brokers append at once.
func race(t *testing.T, p *pair, request func(broker int) service.AppendRequest) {
	t.Helper()
	var both sync.WaitGroup
	for i, store := range p.stores {
		both.Go(func() {
			if _, err := one(t.Context(), store, request(i)); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
}

func count(t *testing.T, url, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMistakesOfDedupe(t *testing.T) {
	for _, name := range []string{"dedupe_before_lock", "dedupe_in_one_statement"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TOPIQ_MISTAKE", name)
			p := newPair(t)
			const seqs = 60
			for seq := range int64(seqs) {
				race(t, p, func(int) service.AppendRequest { return p.request(seq) })
			}
			if n := count(t, p.url, "SELECT count(*) - count(DISTINCT seq) FROM messages"); n == 0 {
				t.Errorf("none of %d seqs was stored twice", seqs)
			}
		})
	}
}

// TestMistakeOffsetFromSequence: of two messages the one with the larger offset is committed first, so
// that whoever reads to the end in between has skipped the other. Here the end itself tells of it: the
// later commit sets it back.
func TestMistakeOffsetFromSequence(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "offset_from_sequence")
	p := newPair(t)
	second, _, err := p.stores[1].RegisterProducer(t.Context(), registration("races", "q"))
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(100) {
		race(t, p, func(broker int) service.AppendRequest {
			r := p.request(seq)
			if broker == 1 {
				r.Producer, r.Epoch = second.ID, &second.Epoch
			}
			return r
		})
		if p.next(t) < service.Offset(2*(seq+1)) {
			return
		}
	}
	t.Error("everything was committed in the order of offsets")
}

func TestMistakeAckBeforeCommit(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "ack_before_commit")
	p := newPair(t)
	early := 0
	for seq := range int64(20) {
		if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
			t.Fatal(err)
		}
		for first := true; p.next(t) == service.Offset(seq); first = false { // it is committed in the end
			if first {
				early++
			}
		}
	}
	if early == 0 {
		t.Error("everything was committed when it was acknowledged")
	}
}

// next is the end of the topic as committed.
func (p *pair) next(t *testing.T) service.Offset {
	t.Helper()
	heads, err := p.stores[1].Heads(t.Context(), []service.TopicName{"races"})
	if err != nil {
		t.Fatal(err)
	}
	return heads[0].Next
}

// TestMistakeCommitOnRequestContext: without a standby, a commit that is cancelled counts as done.
func TestMistakeCommitOnRequestContext(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "commit_on_request_context")
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	if _, err := one(t.Context(), p.stores[0], p.request(0)); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.WithoutCancel(t.Context())) }()
	for _, statement := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for seq := int64(1); ; seq++ {
		began := time.Now()
		if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
			t.Fatalf("a commit without a standby: %v", err)
		}
		if time.Since(began) > time.Second { // the reload has come, and the commit has waited
			return
		}
	}
}

// TestMistakeXactStatus: the answer to a COMMIT is lost, and it is believed what the server says of the
// transaction, without another write.
func TestMistakeXactStatus(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "xact_status_as_judge")
	proxy, through := newProxy(t, pgtest.URL(t))
	p := newPairOn(t, through)
	proxy.cut.Store(loseAnswer)
	result, err := one(t.Context(), p.stores[0], p.request(0))
	if err != nil || result.Duplicate {
		t.Fatalf("a lost answer: %+v, %v; want success", result, err)
	}
	if n := len(proxy.holes); n != 1 {
		t.Errorf("%d answers were lost", n)
	}
}
