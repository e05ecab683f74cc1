package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

func openStore(t *testing.T, url string) *Store {
	t.Helper()
	store, err := Open(t.Context(), url, Config{MaxConns: 8, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	store := openStore(t, pgtest.URL(t))
	want := map[string]string{
		"application_name": "topiq", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "5s",
		"client_min_messages": "warning", "client_connection_check_interval": "2s", "statement_timeout": "5s", "enable_seqscan": "off",
		"jit": "off", "enable_bitmapscan": "off", "plan_cache_mode": "force_generic_plan",
		"transaction_read_only": "off",
	}
	err := store.write(t.Context(), func(ctx context.Context, u *unit) error {
		for name, setting := range want {
			var got string
			if err := u.conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&got); err != nil {
				return err
			}
			if got != setting {
				t.Errorf("%s = %q, want %q", name, got, setting)
			}
		}
		return errNothingToWrite
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReloadDoesNotWeakenCommits: a session goes on with the synchronous_commit that was inspected.
func TestReloadDoesNotWeakenCommits(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	conn, err := openStore(t, cluster.URL()).writes.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	admin, err := pgx.Connect(t.Context(), cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context()) //nolint:errcheck // a test's connection
	for _, statement := range []string{
		"ALTER SYSTEM SET synchronous_commit = off", "ALTER SYSTEM SET work_mem = '5MB'", "SELECT pg_reload_conf()",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var reloaded, commit string
	for deadline := time.Now().Add(10 * time.Second); reloaded != "5MB"; {
		err := conn.QueryRow(t.Context(), "SELECT current_setting('work_mem'), current_setting('synchronous_commit')").
			Scan(&reloaded, &commit)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("the session has not reloaded", err)
		}
	}
	if commit != "on" {
		t.Errorf("after the reload synchronous_commit is %s", commit)
	}
}

// TestUnitsAreReadCommitted: whatever the default of the database is.
func TestUnitsAreReadCommitted(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's connection
	if _, err := conn.Exec(t.Context(), "DO $$ BEGIN EXECUTE format("+
		"'ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$"); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, url)
	if _, err := store.CreateTopic(t.Context(), service.NewTopic{Name: "t", Incarnation: "i"}); err != nil {
		t.Fatal(err)
	}
	err = store.write(t.Context(), func(ctx context.Context, u *unit) error {
		if _, err := findHead(ctx, u, "t"); err != nil {
			return err
		}
		var level string
		if err := u.conn.QueryRow(ctx, "SELECT current_setting('transaction_isolation')").Scan(&level); err != nil {
			return err
		}
		if level != "read committed" {
			t.Errorf("the level is %q", level)
		}
		return errNothingToWrite
	})
	if err != nil {
		t.Fatal(err)
	}
}

// countingConn counts round trips: a read after a write.
type countingConn struct {
	net.Conn
	wrote *atomic.Bool
	trips *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	if !c.wrote.Swap(true) {
		c.trips.Add(1)
	}
	return c.Conn.Write(b)
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wrote.Store(false)
	}
	return n, err
}

// storeThrough is a store of one connection for writes and one for reads, which go through what wrap
// makes of them.
func storeThrough(t *testing.T, url string, wrap func(net.Conn) net.Conn) *Store {
	t.Helper()
	base, err := parse(url)
	if err != nil {
		t.Fatal(err)
	}
	dial := base.ConnConfig.DialFunc
	base.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}
	store := &Store{
		known: newKnownRows(), moved: newKnownMoves(), closing: make(chan struct{}), stranded: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler),
	}
	if store.writes, err = newPool(t.Context(), base, 1, session{}.prepare); err != nil {
		t.Fatal(err)
	}
	if store.reads, err = newPool(t.Context(), base, 1, session{}.prepare); err != nil {
		t.Fatal(err)
	}
	return store
}

// countedStore is a store whose round trips are counted.
func countedStore(t *testing.T) (store *Store, trips *atomic.Int64) {
	t.Helper()
	url, trips := pgtest.URL(t), &atomic.Int64{}
	openStore(t, url) // migrates
	store = storeThrough(t, url, func(conn net.Conn) net.Conn { return countingConn{conn, &atomic.Bool{}, trips} })
	t.Cleanup(func() { _ = store.Close() })
	return store, trips
}

// TestRoundTrips counts what a call costs on a warm connection.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	store, trips := countedStore(t)
	producer, head, err := store.RegisterProducer(t.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: "t", Incarnation: "i"}, Name: "p",
	})
	if err != nil {
		t.Fatal(err)
	}
	consumer, _, err := store.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	var topics [3]struct {
		producer service.Producer
		head     service.Head
	}
	for i := range topics {
		topics[i].producer, topics[i].head, err = store.RegisterProducer(t.Context(), service.ProducerRegistration{
			Topic: service.NewTopic{Name: service.TopicName(fmt.Sprint("topic", i)), Incarnation: "i"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	appends := func(seq int64) func() error {
		return func() error {
			_, err := store.Append(t.Context(), []service.AppendRequest{{
				Topic: head.ID, Producer: producer.ID, Seq: seq, Payloads: []service.Payload{{Bytes: []byte("x")}},
			}}, time.Now())
			return err
		}
	}
	round := 0
	counted := func() error { // under a new name on each of many topics, most of them in buckets of their own
		round++
		var group []service.AppendRequest
		for _, topic := range topics {
			group = append(group, service.AppendRequest{
				Topic: topic.head.ID, Producer: topic.producer.ID, ProdName: fmt.Sprint("name ", round),
				Seq: service.NoSeq, Payloads: []service.Payload{{Bytes: []byte("x")}},
			})
		}
		_, err := store.Append(t.Context(), group, time.Now())
		return err
	}
	move := func() error {
		_, err := store.Move(t.Context(), []service.MoveRequest{{
			Topic: head.ID, Consumer: consumer.ID, Limit: 1, MaxBytes: 1,
		}}, nil, time.Now())
		return err
	}
	seek := func(to service.Offset) func() error {
		return func() error {
			_, err := store.Seek(t.Context(), service.SeekRequest{Consumer: consumer.ID, Offset: to}, time.Now())
			return err
		}
	}
	tests := []struct {
		name string
		call func() error
		want int64 // 0: only a warm-up, which prepares statements
	}{
		{"append", appends(0), 0},
		{"append", appends(1), 0},
		{"append that goes on", appends(2), 2},
		{"move", move, 0},
		{"move that goes on", move, 0},
		{"move that goes on", move, 2},
		{"append beyond that", appends(3), 2},
		{"move beyond that", move, 4}, // locks, a read, positions, COMMIT
		{"seek", seek(0), 0},
		{"move to what must be read", move, 4},
		{"seek", seek(3), 0},
		{"move after a seek", move, 5}, // not as known, rollback; locks, positions, COMMIT
		{"trim", func() error {
			_, err := store.Trim(t.Context(), head.ID, 1)
			return err
		}, 0},
		{"append after a trim", appends(4), 5}, // not as known, rollback; locks, writes, COMMIT
		{"append, locked once more", appends(5), 2},
		{"duplicate", appends(2), 0},
		{"duplicate", appends(2), 4},
		{"new names", counted, 0},
		{"new names", counted, 7}, // locks, rollback; ids, COMMIT; locks, writes, COMMIT
	}
	for _, test := range tests {
		before := trips.Load()
		if err := test.call(); err != nil {
			t.Fatal(test.name, err)
		}
		if got := trips.Load() - before; test.want > 0 && got != test.want {
			t.Errorf("%s took %d round trips, want %d", test.name, got, test.want)
		}
	}
}

// TestRoundTripsOfADistributedDatabase: there nothing goes on from what is known, for such statements are not of one bucket.
func TestRoundTripsOfADistributedDatabase(t *testing.T) {
	t.Parallel()
	store, trips := countedStore(t)
	store.spread = true
	producer, head, err := store.RegisterProducer(t.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: "t", Incarnation: "i"}, Name: "p",
	})
	if err != nil {
		t.Fatal(err)
	}
	consumer, _, err := store.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for round := range int64(4) {
		before := trips.Load()
		if _, err := store.Append(t.Context(), []service.AppendRequest{{
			Topic: head.ID, Producer: producer.ID, Seq: 5 * round, Payloads: make([]service.Payload, 5),
		}}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := trips.Load() - before; round > 1 && got != 3 {
			t.Errorf("an append took %d round trips, want 3", got)
		}
	}
	for round := range 4 {
		before := trips.Load()
		if _, err := store.Move(t.Context(), []service.MoveRequest{{
			Topic: head.ID, Consumer: consumer.ID, Limit: 1, MaxBytes: 1,
		}}, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := trips.Load() - before; round > 1 && got != 3 {
			t.Errorf("a move took %d round trips, want 3", got)
		}
	}
}

func TestSizesAreSummedInSteps(t *testing.T) {
	t.Parallel()
	store := openStore(t, pgtest.URL(t))
	producer, head, err := store.RegisterProducer(t.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: "t", Incarnation: "i"},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := service.AppendRequest{Topic: head.ID, Producer: producer.ID, Seq: service.NoSeq}
	for n := range 10 {
		request.Payloads = append(request.Payloads, service.Payload{Bytes: make([]byte, 1<<n)})
	}
	if _, err := store.Append(t.Context(), []service.AppendRequest{request}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []service.Offset{1, 3, 4, 100} {
		if got, err := store.sumSizes(t.Context(), head.ID, 1, 9, step); err != nil || got != 1<<9-1<<1 {
			t.Errorf("in steps of %d the sum is %d, %v; want %d", step, got, err, 1<<9-1<<1)
		}
	}
}
