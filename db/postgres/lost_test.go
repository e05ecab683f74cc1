package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// history is a topic of which five messages are in a copy of the database, and five are not.
type history struct {
	t        *testing.T
	brokers  []*service.Broker
	producer service.Producer
	consumer service.Consumer
	head     service.Head // as clients know it
}

const lostTopic = "orders"

func broker(t *testing.T, url string, config postgres.Config) *service.Broker {
	t.Helper()
	config.Logger, config.MaxConns = quiet(), smallConns
	store, err := postgres.Open(t.Context(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	return service.NewBroker(store, service.Config{Logger: slog.New(slog.DiscardHandler)})
}

func (h *history) start(url string, config postgres.Config) {
	h.t.Helper()
	h.brokers = nil
	for range 2 {
		h.brokers = append(h.brokers, broker(h.t, url, config))
	}
	brokers := h.brokers
	h.t.Cleanup(func() { stop(h.t, brokers) })
}

// stop ends brokers; those that have ended are left alone.
func (h *history) stop() {
	h.t.Helper()
	stop(h.t, h.brokers)
}

func stop(t *testing.T, brokers []*service.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	for i, b := range brokers {
		if b == nil {
			continue
		}
		brokers[i] = nil
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// begin produces five messages through two brokers, has the database copied, and produces five more,
// all of which a consumer has read and committed.
func begin(t *testing.T, url string, config postgres.Config, keep func()) *history {
	t.Helper()
	h := &history{t: t}
	h.start(url, config)
	var err error
	h.producer, h.head, err = h.brokers[0].RegisterProducer(t.Context(), lostTopic, "p", "")
	if err != nil {
		t.Fatal(err)
	}
	if h.consumer, _, err = h.brokers[0].RegisterConsumer(t.Context(), lostTopic, "c", service.FromBeginning); err != nil {
		t.Fatal(err)
	}
	for seq := range int64(10) {
		if seq == 5 {
			keep()
		}
		if _, err := awaits(t, func() (service.ProduceResult, error) {
			return h.produce(int(seq)%2, seq, h.head.Incarnation)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range h.brokers {
		got, err := b.Consume(t.Context(), service.ConsumeRequest{
			Topic: lostTopic, Consumer: h.consumer.ID, Offset: new(service.Offset(10)), Incarnation: h.head.Incarnation,
		})
		if err != nil || got.Offset != 10 {
			t.Fatalf("consume at the end: %+v, %v", got, err)
		}
	}
	return h
}

func (h *history) produce(at int, seq int64, incarnation string) (service.ProduceResult, error) {
	return h.brokers[at].Produce(h.t.Context(), service.ProduceRequest{
		Topic: lostTopic, Producer: h.producer.ID, Seq: &seq, Incarnation: incarnation,
		Payloads: []service.Payload{{Bytes: fmt.Append(nil, seq)}},
	})
}

// awaits calls until the database answers at all: what was asked while there was none is not what
// these tests are about.
func awaits[A any](t *testing.T, call func() (A, error)) (answer A, err error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		answer, err = call()
		if !errors.Is(err, service.ErrUnavailable) && !errors.Is(err, service.ErrOutcomeUnknown) || time.Now().After(deadline) {
			return answer, err
		}
	}
}

// noticed requires that clients of the history that was lost are told so, by every broker, whichever
// comes first and all at once; that the topic has one new incarnation, also for brokers that are
// started later; and that nothing of the two histories is mixed.
func (h *history) noticed(url string) {
	h.t.Helper()
	t := h.t
	var calls sync.WaitGroup
	refusals := make([]error, 4)
	for i := range refusals {
		calls.Go(func() {
			_, refusals[i] = awaits(t, func() (any, error) {
				if i < 2 {
					return h.produce(i, 10, h.head.Incarnation)
				}
				return h.brokers[i-2].Consume(t.Context(), service.ConsumeRequest{
					Topic: lostTopic, Consumer: h.consumer.ID, Offset: new(service.Offset(10)), Incarnation: h.head.Incarnation,
				})
			})
		})
	}
	calls.Wait()
	renewed := ""
	for i, err := range refusals {
		refusal := (*service.Error)(nil)
		if !errors.Is(err, service.ErrIncarnationChanged) || !errors.As(err, &refusal) {
			t.Fatalf("call %d got %v, want incarnation_changed", i, err)
		}
		if renewed == "" {
			renewed = refusal.Facts.Incarnation
		}
		if got := refusal.Facts.Incarnation; got != renewed || got == h.head.Incarnation {
			t.Errorf("call %d was told of incarnation %s, another of %s; the old one was %s", i, got, renewed, h.head.Incarnation)
		}
	}
	h.isOther(renewed)
	h.stop()
	h.start(url, postgres.Config{})
	h.isOther(renewed)
}

func (h *history) isOther(incarnation string) {
	h.t.Helper()
	t := h.t
	for i, b := range h.brokers {
		state, err := awaits(t, func() (service.TopicState, error) { return b.DescribeTopic(t.Context(), lostTopic) })
		if err != nil || state.Incarnation != incarnation || state.Next != 5 {
			t.Errorf("broker %d has %+v, %v; want 5 messages of incarnation %s", i, state.Head, err, incarnation)
		}
		if _, err := b.Read(t.Context(), service.ReadRequest{Topic: lostTopic, Offset: new(service.Offset(10))}); !errors.Is(err, service.ErrOffsetOutOfRange) {
			t.Errorf("broker %d: a read beyond the end got %v, want offset_out_of_range", i, err)
		}
		if _, err := h.produce(i, 10, ""); !errors.Is(err, service.ErrSeqGap) {
			t.Errorf("broker %d: a producer that knows no incarnation got %v, want seq_gap", i, err)
		}
		row, _, err := b.RegisterConsumer(t.Context(), lostTopic, "c", service.FromBeginning)
		if err != nil || row.Offset > 5 {
			t.Errorf("broker %d: the consumer is at %d, %v, in a history of 5 messages", i, row.Offset, err)
		}
	}
}

func TestDumpPutBackIsNoticed(t *testing.T) {
	t.Parallel()
	t.Run("on another database of the server", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t)
		var dump []byte
		h := begin(t, server.URL(), postgres.Config{}, func() { dump = server.Dump(t, server.URL()) })
		h.stop()
		restored := server.Database(t)
		server.Load(t, restored, dump)
		h.start(restored, postgres.Config{})
		h.noticed(restored)
	})
	t.Run("on another server", func(t *testing.T) {
		t.Parallel()
		server, other := pgtest.Start(t), pgtest.Start(t)
		var dump []byte
		h := begin(t, server.URL(), postgres.Config{}, func() { dump = server.Dump(t, server.URL()) })
		h.stop()
		other.Load(t, other.URL(), dump)
		h.start(other.URL(), postgres.Config{})
		h.noticed(other.URL())
	})
	t.Run("in place of the tables, under brokers that go on", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t)
		var dump []byte
		h := begin(t, server.URL(), postgres.Config{}, func() { dump = server.Dump(t, server.URL()) })
		execute(t, server.URL(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		server.Load(t, server.URL(), dump)
		h.noticed(server.URL())
	})
	t.Run("as a template's copy", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Start(t)
		url := server.Database(t)
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		h := begin(t, url, postgres.Config{}, func() {
			execute(t, server.URL(), "ALTER DATABASE "+config.Database+" ALLOW_CONNECTIONS false")
			execute(t, server.URL(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+config.Database+"'")
			for deadline := time.Now().Add(time.Minute); ; {
				conn, err := pgx.Connect(t.Context(), server.URL())
				if err != nil {
					t.Fatal(err)
				}
				_, err = conn.Exec(t.Context(), "CREATE DATABASE kept TEMPLATE "+config.Database)
				_ = conn.Close(t.Context())
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			execute(t, server.URL(), "ALTER DATABASE "+config.Database+" ALLOW_CONNECTIONS true")
		})
		h.stop()
		execute(t, server.URL(), "DROP DATABASE "+config.Database+" WITH (FORCE)")
		execute(t, server.URL(), "ALTER DATABASE kept RENAME TO "+config.Database)
		h.start(url, postgres.Config{})
		h.noticed(url)
	})
}

// TestBackupPutBackIsNoticed recovers a base backup, as one does after the loss of a server.
func TestBackupPutBackIsNoticed(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	var restore func(...string) *pgtest.Cluster
	h := begin(t, server.URL(), postgres.Config{}, func() { restore = server.Backup(t) })
	h.stop()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	url := restore().URL()
	h.start(url, postgres.Config{})
	h.noticed(url)
}

// TestLossyPromotionIsNoticed promotes a standby that has fallen behind, under brokers that go on.
func TestLossyPromotionIsNoticed(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	standby := primary.Standby(t)
	both := pgtest.Address(primary, standby)
	h := begin(t, both, postgres.Config{}, func() {
		caughtUp(t, primary, standby)
		execute(t, standby.URL(), "ALTER SYSTEM SET primary_conninfo = ''")
		execute(t, standby.URL(), "SELECT pg_reload_conf()")
		until(t, standby.URL(), "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
	})
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	h.noticed(both)
}

// TestPromotionUnderTheOperatorsWord: a standby that commits wait for has everything, and clients go on.
func TestPromotionUnderTheOperatorsWord(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	standby := primary.Standby(t)
	both := pgtest.Address(primary, standby)
	execute(t, primary.URL(), "ALTER SYSTEM SET synchronous_standby_names = '"+pgtest.StandbyName+"'")
	execute(t, primary.URL(), "SELECT pg_reload_conf()")
	until(t, primary.URL(), "SELECT current_setting('synchronous_standby_names') <> ''")
	config := postgres.Config{Replicated: true}
	h := begin(t, both, config, func() {})
	execute(t, standby.URL(), "ALTER SYSTEM SET synchronous_standby_names = ''")
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	execute(t, standby.URL(), "SELECT pg_reload_conf()")
	for i, b := range h.brokers {
		state, err := awaits(t, func() (service.TopicState, error) { return b.DescribeTopic(t.Context(), lostTopic) })
		if err != nil || state.Incarnation != h.head.Incarnation || state.Next != 10 {
			t.Errorf("broker %d has %+v, %v; want 10 messages of incarnation %s", i, state.Head, err, h.head.Incarnation)
		}
		// The new primary has no standby of its own.
		if _, err := h.produce(i, 10, h.head.Incarnation); !errors.Is(err, service.ErrUnavailable) {
			t.Errorf("broker %d: a produce without a standby got %v, want unavailable", i, err)
		}
		if err := b.Ready(t.Context()); !errors.Is(err, service.ErrUnavailable) {
			t.Errorf("broker %d: ready without a standby: %v", i, err)
		}
	}
	h.stop()
	h.start(both, config) // it can be read
	if _, err := h.brokers[0].Read(t.Context(), service.ReadRequest{Topic: lostTopic, Offset: new(service.Offset(0))}); err != nil {
		t.Error(err)
	}
	h.stop()
	// Without the word a promotion counts: what it lost cannot be known.
	h.start(both, postgres.Config{})
	if _, err := h.produce(0, 10, h.head.Incarnation); !errors.Is(err, service.ErrIncarnationChanged) {
		t.Errorf("without the word: %v, want incarnation_changed", err)
	}
}

func caughtUp(t *testing.T, primary, standby *pgtest.Cluster) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	var at string
	if err := conn.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&at); err != nil {
		t.Fatal(err)
	}
	until(t, standby.URL(), "SELECT pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn")
}

// until waits for a condition.
func until(t *testing.T, url, condition string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	for deadline := time.Now().Add(time.Minute); ; {
		var holds bool
		if err := conn.QueryRow(t.Context(), condition).Scan(&holds); err != nil {
			t.Fatal(err)
		}
		if holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("never: ", condition)
		}
	}
}

// TestHeadsOfBefore: what was written before heads had an identity is taken as it is, once.
func TestHeadsOfBefore(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	head, err := open(t, url).CreateTopic(t.Context(), service.NewTopic{Name: lostTopic, Incarnation: "i"})
	if err != nil {
		t.Fatal(err)
	}
	backTo(t, url, 1)
	execute(t, url, "UPDATE heads SET identity = ''")
	store := open(t, url)
	if _, err := store.CreateTopic(t.Context(), service.NewTopic{Name: "new", Incarnation: "j"}); err != nil {
		t.Fatal(err)
	}
	until(t, url, "SELECT count(*) = 2 AND count(DISTINCT identity) = 1 AND min(identity) <> '' FROM heads")
	heads, err := store.Heads(t.Context(), []service.TopicName{lostTopic})
	if err != nil || len(heads) != 1 || heads[0] != head {
		t.Errorf("the head of before is %+v, %v; want %+v", heads, err, head)
	}
}

// backTo takes the schema back to a version.
func backTo(t *testing.T, url string, version int64) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close() //nolint:errcheck // a test's connection
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}
