package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

const (
	keptMessages = 1000
	stepMessages = 500
)

// trimmedLog is a topic that is appended to, trimmed and swept in steps, as a broker with retention does it, on a
// server whose autovacuum looks every second.
type trimmedLog struct {
	*testing.T
	store *postgres.Store
	conn  *pgx.Conn
	topic service.Head
	by    service.Producer
	next  int
}

func newTrimmedLog(t *testing.T) *trimmedLog {
	t.Helper()
	cluster := pgtest.Start(t, "autovacuum=on", "autovacuum_naptime=1s", "track_counts=on")
	l := &trimmedLog{T: t, store: open(t, cluster.URL())}
	var err error
	if l.by, l.topic, err = l.store.RegisterProducer(t.Context(), registration("trimmed", "")); err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	if l.conn, err = pgx.Connect(ctx, cluster.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.conn.Close(ctx) })
	// As the sessions of a broker: by the index.
	if _, err := l.conn.Exec(t.Context(), "SET enable_seqscan = off; SET enable_bitmapscan = off"); err != nil {
		t.Fatal(err)
	}
	return l
}

// step appends messages, and lets go of as many.
func (l *trimmedLog) step() {
	l.Helper()
	r := service.AppendRequest{Topic: l.topic.ID, Producer: l.by.ID, Seq: service.NoSeq}
	for range stepMessages {
		r.Payloads = append(r.Payloads, service.Payload{Bytes: bytes.Repeat([]byte("x"), 400)})
	}
	if _, err := one(l.Context(), l.store, r); err != nil {
		l.Fatal(err)
	}
	l.next += stepMessages
	if _, err := l.store.Trim(l.Context(), l.topic.ID, service.Offset(l.next-keptMessages)); err != nil {
		l.Fatal(err)
	}
	for n := 1; n > 0; {
		var err error
		if n, err = l.store.Sweep(l.Context(), 1000); err != nil {
			l.Fatal(err)
		}
	}
}

// reads is how many pages it takes to find the head.
func (l *trimmedLog) reads() int {
	l.Helper()
	var lines []string
	rows, err := l.conn.Query(l.Context(), "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) SELECT next_offset FROM heads "+
		"WHERE bucket = "+strconv.Itoa(int(service.BucketOfID(l.topic.ID)))+" AND topic_id = "+strconv.FormatInt(int64(l.topic.ID), 10))
	if err == nil {
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		l.Fatal(err)
	}
	for _, line := range lines {
		if match := regexp.MustCompile(`Buffers: shared hit=(\d+)`).FindStringSubmatch(line); match != nil {
			n, _ := strconv.Atoi(match[1])
			return n
		}
	}
	l.Fatalf("no pages in %q", lines)
	return 0
}

// facts are the rows of messages that were deleted, as far as sessions have reported it, those of them that are
// still in the way, and the pages of the table with its indexes and toast.
func (l *trimmedLog) facts() (deleted, dead, pages int64) {
	l.Helper()
	err := l.conn.QueryRow(l.Context(), "SELECT n_tup_del, n_dead_tup, pg_total_relation_size('messages') / 8192 "+
		"FROM pg_stat_user_tables WHERE relname = 'messages'").Scan(&deleted, &dead, &pages)
	if err != nil {
		l.Fatal(err)
	}
	return deleted, dead, pages
}

// within waits for a condition; the server takes its time to vacuum and to count.
func (l *trimmedLog) within(limit time.Duration, what string, holds func() error) {
	l.Helper()
	deadline, look := time.After(limit), time.NewTicker(100*time.Millisecond)
	defer look.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			l.Fatalf("%s: %v", what, err)
		}
	}
}

// clean waits until the dead rows are gone.
func (l *trimmedLog) clean(limit time.Duration) {
	l.Helper()
	l.within(limit, "the dead rows are not vacuumed", func() error {
		if deleted, dead, _ := l.facts(); deleted < int64(l.next-keptMessages) || dead > stepMessages {
			return fmt.Errorf("%d dead rows of %d that were deleted", dead, deleted)
		}
		return nil
	})
}

// TestTrimmedSpaceIsUsedAgain: the table does not grow with what was ever stored, only with what is kept and what
// comes between two vacuums. When these come is the server's decision: one in the middle of a round makes it smaller.
func TestTrimmedSpaceIsUsedAgain(t *testing.T) {
	t.Parallel()
	l := newTrimmedLog(t)
	const (
		rounds = 4
		steps  = 10  // of a round, at whose end everything is vacuumed
		row    = 600 // bytes of the table and its indexes for each message: 400 are its payload
		enough = 2 * (keptMessages + steps*stepMessages) * row / 8192
	)
	for range rounds {
		for range steps {
			l.step()
		}
		l.clean(time.Minute)
		if _, _, now := l.facts(); now > enough {
			t.Errorf("the table has %d pages after %d messages, of which %d are kept, and %d would be enough",
				now, l.next, keptMessages, enough)
		}
	}
	if all := l.next * 400 / 8192; all <= enough {
		t.Errorf("the payloads of all messages fill %d pages, not more than the %d that are allowed: the test has tested nothing", all, enough)
	}
}

// TestTransactionThatIsHeldOpen: while anybody's transaction stays open nothing that has died since can be
// vacuumed, and to find a head takes more and more pages. When it has ended both are back within a minute.
func TestTransactionThatIsHeldOpen(t *testing.T) {
	t.Parallel()
	l := newTrimmedLog(t)
	for range 4 {
		l.step()
	}
	l.clean(time.Minute)
	l.reads() // a session that is new also reads what it needs to know of the table
	before := l.reads()

	stranger, err := pgx.Connect(t.Context(), l.conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	held, err := stranger.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), "SELECT count(*) FROM topics"); err != nil {
		t.Fatal(err)
	}
	const steps = 150 // three versions of the head each, more than some pages hold
	for range steps {
		l.step()
	}
	l.within(time.Minute, "with a transaction open", func() error {
		if _, dead, _ := l.facts(); dead < (steps-1)*stepMessages {
			return fmt.Errorf("%d dead rows, not what %d steps leave", dead, steps)
		}
		return nil
	})
	during := l.reads()
	if during <= before {
		t.Errorf("to find the head takes %d pages with a transaction open and %d without: the test has tested nothing", during, before)
	}

	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.step() // work goes on
	l.clean(time.Minute)
	l.within(time.Minute, "after the transaction", func() error {
		if now := l.reads(); now > before+1 {
			return errors.New("to find the head still takes " + strconv.Itoa(now) + " pages")
		}
		return nil
	})
	t.Logf("pages to find the head: %d before, %d with the transaction open", before, during)
}
