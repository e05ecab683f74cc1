package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// load is writers that send all the time, through two brokers.
type load struct {
	brokers []*service.Broker
	writers []*writer
	acked   chan struct{}
	stop    context.CancelFunc
	running sync.WaitGroup
	failed  chan error
}

// putLoad starts writers on some topics, all of which insist on each message.
func putLoad(t *testing.T, url string) *load {
	t.Helper()
	const topics, names = 2, 3
	ctx, stop := context.WithCancel(t.Context())
	l := &load{
		brokers: []*service.Broker{brokerOn(t, url), brokerOn(t, url)},
		acked:   make(chan struct{}), stop: stop, failed: make(chan error, topics*names),
	}
	for i := range topics * names {
		topic := service.TopicName(fmt.Sprint("topic", i%topics))
		w, err := newWriter(t.Context(), topic, fmt.Sprint("writer", i), l.brokers...)
		if err != nil {
			t.Fatal(err)
		}
		l.writers = append(l.writers, w)
	}
	for _, w := range l.writers {
		l.running.Go(func() {
			for ctx.Err() == nil {
				if err := w.insist(context.WithoutCancel(ctx)); err != nil {
					l.failed <- err
					return
				}
				select {
				case l.acked <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// wait waits until so many messages more are acknowledged.
func (l *load) wait(t *testing.T, messages int) {
	t.Helper()
	for range messages {
		select {
		case <-l.acked:
		case err := <-l.failed:
			t.Fatal(err)
		case <-time.After(2 * time.Minute):
			t.Fatal("nothing is acknowledged any more")
		}
	}
}

func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// check ends the load and compares what was acknowledged with what is stored.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.end()
	retries, sent := 0, int64(0)
	for i, w := range l.writers {
		w.check(t, l.brokers[i%2])
		retries += w.retries
		sent += w.next
	}
	t.Logf("%d messages, %d retries by clients", sent, retries)
	for _, b := range l.brokers {
		if err := b.Ready(t.Context()); err != nil {
			t.Errorf("a broker is not ready: %v", err)
		}
	}
}

// TestBrokersSurviveTheServer: the server is killed again and again, and the brokers go on without being
// started anew. Whatever was acknowledged is there, and every message is acknowledged in the end.
func TestBrokersSurviveTheServer(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	l := putLoad(t, cluster.URL())
	for range 4 {
		l.wait(t, 30)
		if err := errors.Join(cluster.Kill(), cluster.Restart()); err != nil {
			t.Fatal(err)
		}
		l.wait(t, 30)
		if err := cluster.Restart(); err != nil { // in order: 57P01
			t.Fatal(err)
		}
	}
	l.wait(t, 30)
	l.check(t)
}

// TestBrokersFollowAFailover: the primary dies and its standby takes over. An address of both is all the
// brokers need. Commits waited for the standby, so nothing that was acknowledged is lost.
func TestBrokersFollowAFailover(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	standby := primary.Standby(t)
	execute(t, primary.URL(), "ALTER SYSTEM SET synchronous_standby_names = '"+pgtest.StandbyName+"'")
	if err := primary.Restart(); err != nil {
		t.Fatal(err)
	}
	l := putLoad(t, pgtest.Address(primary, standby))
	l.wait(t, 60)
	if err := errors.Join(primary.Kill(), standby.Promote()); err != nil {
		t.Fatal(err)
	}
	l.wait(t, 60)
	l.check(t)
}

// TestCancelledStandbyWaitIsRunAgain: somebody ends the wait for the standby. The server says success
// with a warning, and the standby does not have it. The broker does not believe it, and runs it again:
// that waits too, until a commit that lies behind the message is confirmed.
func TestCancelledStandbyWaitIsRunAgain(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	b := brokerOn(t, cluster.URL())
	w, err := newWriter(t.Context(), "t", "w", b)
	if err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	next, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			switch err := w.try(t.Context()); {
			case err == nil:
				acked.Add(1)
				select {
				case next <- struct{}{}:
				default:
				}
			case !errors.Is(err, service.ErrUnavailable) || service.CodeOf(err) == service.CodeOutcomeUnknown:
				done <- err
				return
			}
		}
		done <- nil
	}()
	// The writer is at work on a connection that it keeps. One that is opened later would begin with a commit that
	// waits for the standby, and carry no message.
	if err := eventually(t, func() error {
		if n := acked.Load(); n < 20 {
			return fmt.Errorf("%d messages are acknowledged", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	execute(t, cluster.URL(), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	execute(t, cluster.URL(), "SELECT pg_reload_conf()")
	cancelWait(t, cluster.URL(), waitForMessage(t, cluster.URL()))
	before := acked.Load()
	for range 3 { // the first attempt is over, and these are what the broker tries then
		if n := stored(t, cluster.URL()); n != before+1 { // it is there for everybody to see
			t.Errorf("%d messages are stored, want %d", n, before+1)
		}
		cancelWait(t, cluster.URL(), waitForStandby(t, cluster.URL()))
	}
	if n := acked.Load(); n != before {
		t.Errorf("%d messages are acknowledged that no standby has", n-before)
	}
	<-next // of those that are acknowledged
	bringStandby(t, cluster.URL())
	select {
	case <-next:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Error("the message is not acknowledged")
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.check(t, b)
}

// waitForMessage returns the backend whose commit of a message waits for a standby. Others that wait are left alone: a
// new connection begins with a commit, and if that is ended there is no connection for the message.
func waitForMessage(t *testing.T, url string) int32 {
	t.Helper()
	return standbyWait(t, url, "EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.relation = 'messages'::regclass)")
}

// cancelWait ends a backend's wait for a standby.
func cancelWait(t *testing.T, url string, pid int32) {
	t.Helper()
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "SELECT pg_cancel_backend($1)", pid); err != nil {
		t.Fatal(err)
	}
	err := eventually(t, func() error {
		var waits bool
		err := conn.QueryRow(t.Context(),
			"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = $1)", pid).Scan(&waits)
		if err == nil && waits {
			err = errors.New("it still waits")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stored returns how many messages everybody sees.
func stored(t *testing.T, url string) (n int64) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM messages").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// connect returns a connection that lasts as long as the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
