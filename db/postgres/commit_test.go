package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestWarningDuringCommitIsNotSuccess: a trigger that runs in the commit warns, as a server does that
// stops waiting for its standby. The message is there, but the answer must not say so.
func TestWarningDuringCommitIsNotSuccess(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	url := p.url
	execute(t, url, `CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE WARNING 'the transaction may not have been replicated'; RETURN NULL; END $$`)
	execute(t, url, `CREATE CONSTRAINT TRIGGER warn AFTER UPDATE ON heads
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn()`)
	if _, err := one(t.Context(), p.stores[0], p.request(0)); !errors.Is(err, service.ErrOutcomeUnknown) {
		t.Fatalf("Append: %v, want outcome_unknown", err)
	}
	execute(t, url, "DROP TRIGGER warn ON heads")
	// The next commit on the same connections is judged by its own warnings, and finds the message.
	result, err := one(t.Context(), p.stores[0], p.request(0))
	if err != nil || !result.Duplicate {
		t.Fatalf("Append again: %+v, %v, want a duplicate", result, err)
	}
}

// TestNoticeDuringCommitIsSuccess is the other half: only warnings count.
func TestNoticeDuringCommitIsSuccess(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	execute(t, p.url, `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE NOTICE 'hello'; RETURN NULL; END $$`)
	execute(t, p.url, `CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON heads
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell()`)
	if _, err := one(t.Context(), p.stores[0], p.request(0)); err != nil {
		t.Fatal(err)
	}
}

// TestCommitOutlivesItsCaller: the commit waits for a standby that is not there. The caller's context
// ends; that must not end the wait. Then an operator cancels it, and the answer must be unknown.
func TestCommitOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	ctx, cancel := context.WithCancel(t.Context())
	stuck := p.appendWithoutStandby(ctx, t)
	waiting := waitForStandby(t, cluster.URL())
	cancel()
	select {
	case answer := <-stuck:
		t.Fatalf("the end of a context ended a commit: %v", answer.err)
	case <-time.After(200 * time.Millisecond):
	}
	execute(t, cluster.URL(), "SELECT pg_cancel_backend($1)", waiting)
	if answer := <-stuck; !errors.Is(answer.err, service.ErrOutcomeUnknown) {
		t.Fatalf("Append: %v, want outcome_unknown", answer.err)
	}
	bringStandby(t, cluster.URL())
}

// stuck is the answer to the append that met the missing standby.
type stuck struct {
	seq int64
	err error
}

// appendWithoutStandby has the server wait for a standby that is not there, and appends until that
// takes effect.
func (p *pair) appendWithoutStandby(ctx context.Context, t *testing.T) <-chan stuck {
	t.Helper()
	execute(t, p.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	execute(t, p.url, "SELECT pg_reload_conf()")
	answer := make(chan stuck, 1)
	go func() {
		for seq := int64(0); ; seq++ {
			if _, err := one(ctx, p.stores[0], p.request(seq)); err != nil {
				answer <- stuck{seq, err}
				return
			}
		}
	}()
	return answer
}

func bringStandby(t *testing.T, url string) {
	t.Helper()
	execute(t, url, "ALTER SYSTEM RESET synchronous_standby_names")
	execute(t, url, "SELECT pg_reload_conf()")
}

// waitForStandby returns a backend of a broker whose commit waits for a standby.
func waitForStandby(t *testing.T, url string) int32 {
	t.Helper()
	return standbyWait(t, url, "true")
}

// standbyWait returns a backend of a broker whose commit waits for a standby, and of which a condition holds.
func standbyWait(t *testing.T, url, condition string) (pid int32) {
	t.Helper()
	conn := connect(t, url)
	err := eventually(t, func() error {
		return conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity AS a "+
			"WHERE wait_event = 'SyncRep' AND application_name = 'topiq' AND "+condition+" LIMIT 1").Scan(&pid)
	})
	if err != nil {
		t.Fatalf("no commit waits for a standby where %s: %v", condition, err)
	}
	return pid
}
