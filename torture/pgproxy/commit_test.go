package pgproxy_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/torture/pgproxy"
)

func TestPassedCommitIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.commitOf(w.dial()); err != nil {
		t.Fatal(err)
	}
	if got := w.rows(); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
	w.wantOne(pgproxy.Pass)
	if c := w.proxy.Counts(); c.Commits != 1 || c.Faults() != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestLostCommit checks for each fault that the client sees a lost connection, and on which side of the
// COMMIT it was lost.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind pgproxy.Kind
		rows []int // that there may be
	}{
		{pgproxy.CutBefore, []int{0}},
		{pgproxy.CutAfter, []int{0, 1}},
		{pgproxy.DropAnswer, []int{1}},
		{pgproxy.CutAnswer, []int{1}},
		{pgproxy.BlackHoleBefore, []int{0}},
		{pgproxy.BlackHoleAfter, []int{1}},
	} {
		t.Run(string(row.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conn := w.dial()
			w.always(pgproxy.Action{Kind: row.kind, For: 300 * time.Millisecond})
			if err := w.commitOf(conn); err == nil {
				t.Error("the client was told of success")
			}
			if got := w.rows(); got < row.rows[0] || got > row.rows[len(row.rows)-1] {
				t.Errorf("%d rows, want one of %v", got, row.rows)
			}
			w.wantOne(row.kind)
			if !conn.IsClosed() {
				t.Error("the client's connection is still open")
			}
		})
	}
}

// TestLostPreparedCommit sends COMMIT by the extended protocol, prepared under a name.
func TestLostPreparedCommit(t *testing.T) {
	t.Parallel()
	for kind, rows := range map[pgproxy.Kind]int{pgproxy.CutBefore: 0, pgproxy.DropAnswer: 1, pgproxy.CutAnswer: 1} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conn := w.dial()
			if _, err := conn.Prepare(t.Context(), "the_end", "commit"); err != nil {
				t.Fatal(err)
			}
			w.exec(conn, "BEGIN")
			w.exec(conn, "INSERT INTO t VALUES (1)")
			w.always(pgproxy.Action{Kind: kind})
			if _, err := conn.Exec(t.Context(), "the_end"); err == nil {
				t.Error("the client was told of success")
			}
			if got := w.rows(); got != rows {
				t.Errorf("%d rows, want %d", got, rows)
			}
			w.wantOne(kind)
		})
	}
}

// TestLostCommitInPipeline has the COMMIT between other statements of one round trip. The answers before
// it arrive.
func TestLostCommitInPipeline(t *testing.T) {
	t.Parallel()
	for kind, rows := range map[pgproxy.Kind]int{pgproxy.CutBefore: 0, pgproxy.DropAnswer: 1, pgproxy.CutAnswer: 1} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conn := w.dial()
			w.always(pgproxy.Action{Kind: kind})
			batch := &pgx.Batch{}
			batch.Queue("BEGIN")
			batch.Queue("INSERT INTO t VALUES ($1)", 1)
			batch.Queue("COMMIT")
			results := conn.SendBatch(t.Context(), batch)
			defer func() { _ = results.Close() }()
			var err error
			for range 3 {
				if _, e := results.Exec(); err == nil {
					err = e
				}
			}
			if err == nil {
				t.Error("the client was told of success")
			}
			if got := w.rows(); got != rows {
				t.Errorf("%d rows, want %d", got, rows)
			}
			w.wantOne(kind)
		})
	}
}

func TestHeldCommitSucceedsLate(t *testing.T) {
	t.Parallel()
	const hold = 150 * time.Millisecond
	for _, kind := range []pgproxy.Kind{pgproxy.HoldBefore, pgproxy.HoldAfter} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conn := w.dial()
			w.always(pgproxy.Action{Kind: kind, For: hold})
			began := time.Now()
			if err := w.commitOf(conn); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < hold {
				t.Errorf("it took %s, less than the %s it was held", took, hold)
			}
			if got := w.rows(); got != 1 {
				t.Errorf("%d rows, want 1", got)
			}
			w.wantOne(kind)
		})
	}
}

// TestFailedCommitIsAnswerToo aborts a transaction first: COMMIT answers ROLLBACK.
func TestFailedCommitIsAnswerToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.dial()
	w.exec(conn, "BEGIN")
	if _, err := conn.Exec(t.Context(), "SELECT 1/0"); err == nil {
		t.Fatal("division by zero is no error")
	}
	w.always(pgproxy.Action{Kind: pgproxy.DropAnswer})
	if _, err := conn.Exec(t.Context(), "COMMIT;"); err == nil {
		t.Error("the answer arrived")
	}
	w.wantOne(pgproxy.DropAnswer)
}

// TestPolicyKnowsTheCommit passes the first of each connection, as one would a barrier.
func TestPolicyKnowsTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.proxy.SetPolicy(func(_ *rand.Rand, c pgproxy.Commit) pgproxy.Action {
		if c.Number == 1 {
			return pgproxy.Action{Kind: pgproxy.Pass}
		}
		return pgproxy.Action{Kind: pgproxy.CutBefore}
	})
	for range 2 {
		conn := w.dial()
		if err := w.commitOf(conn); err != nil {
			t.Fatalf("first commit: %v", err)
		}
		if err := w.commitOf(conn); err == nil {
			t.Fatal("the second commit succeeded")
		}
	}
	if got := w.rows(); got != 2 {
		t.Errorf("%d rows, want 2", got)
	}
}

// TestShareOfCommits runs many commits on new connections and counts what became of them.
func TestShareOfCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.proxy.SetPolicy(pgproxy.Some(0.5,
		pgproxy.Action{Kind: pgproxy.CutBefore}, pgproxy.Action{Kind: pgproxy.DropAnswer}, pgproxy.Action{Kind: pgproxy.CutAnswer}))
	const commits = 60
	failed := int64(0)
	var conn *pgx.Conn
	for range commits {
		if conn == nil || conn.IsClosed() {
			conn = w.dial()
		}
		if err := w.commitOf(conn); err != nil {
			failed++
		}
	}
	c := w.proxy.Counts()
	if c.Commits != commits || c.Faults() != failed || failed == 0 || failed == commits {
		t.Errorf("%d of %d commits failed, counted %+v", failed, commits, c)
	}
	stored := int64(w.rows())
	if want := c.Kinds[pgproxy.Pass] + c.Kinds[pgproxy.DropAnswer] + c.Kinds[pgproxy.CutAnswer]; stored != want {
		t.Errorf("%d rows, want %d: %+v", stored, want, c)
	}
}

// TestBigMessagesPassUnchanged sends more than any buffer holds, both ways.
func TestBigMessagesPassUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.dial()
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * 7)
	}
	var back []byte
	if err := conn.QueryRow(context.WithoutCancel(t.Context()), "SELECT $1::bytea", big).Scan(&back); err != nil {
		t.Fatal(err)
	}
	if string(back) != string(big) {
		t.Error("what came back differs")
	}
}
