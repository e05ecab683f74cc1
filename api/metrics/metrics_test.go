package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	text, err := m.Write()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// want fails unless each line is there.
func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Config{})
	operations := m.Requests().Operations([]string{"consume", "produce"}, []string{"no_message", "overloaded"})
	produce, other := operations[1], operations[2]
	for range 4 {
		m.Requests().Begin()
	}
	m.Requests().End(produce, metrics.Ended{Answered: true, Bytes: 10, Took: 3 * time.Millisecond})
	m.Requests().End(produce, metrics.Ended{Answered: true, Code: "overloaded", Bytes: 5, Took: time.Minute})
	m.Requests().End(other, metrics.Ended{Answered: true, Code: "from_the_future"})
	text := scrape(t, m)
	want(t, text,
		`topiq_requests_total{code="ok",operation="produce"} 1`,
		`topiq_requests_total{code="overloaded",operation="produce"} 1`,
		`topiq_requests_total{code="ok",operation="consume"} 0`,
		`topiq_requests_total{code="other",operation="none"} 1`,
		`topiq_request_seconds_bucket{operation="produce",le="0.005"} 1`,
		`topiq_request_seconds_bucket{operation="produce",le="60"} 2`,
		`topiq_request_seconds_count{operation="produce"} 2`,
		`topiq_requests_in_flight 1`,
		`topiq_answer_bytes_total 15`,
	)
	if strings.Contains(text, "no_message") {
		t.Errorf("a code that nobody got is shown:\n%s", text)
	}
	m.Requests().End(produce, metrics.Ended{})
	want(t, scrape(t, m), `topiq_requests_total{code="aborted",operation="produce"} 1`, `topiq_requests_in_flight 0`)
}

//nolint:paralleltest // what other tests allocate would count
func TestRequestsAllocateNothing(t *testing.T) {
	m := metrics.New(metrics.Config{})
	o := m.Requests().Operations([]string{"produce"}, []string{"no_message"})[0]
	for _, e := range []metrics.Ended{{Answered: true, Took: time.Second}, {Answered: true, Code: "no_message"}, {}} {
		n := testing.AllocsPerRun(100, func() {
			m.Requests().Begin()
			m.Requests().End(o, e)
		})
		if n != 0 {
			t.Errorf("%+v: %v allocations", e, n)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Config{})
	m.Grouped(service.Group{Work: service.WorkAppend, Requests: 3, Messages: 5, Bytes: 70, Took: 2 * time.Millisecond})
	m.Grouped(service.Group{Work: service.WorkAppend, Requests: 1, Took: time.Second, Err: service.ErrStorageFull})
	want(t, scrape(t, m),
		`topiq_commit_seconds_count{work="append"} 2`, `topiq_commit_seconds_count{work="move"} 0`,
		`topiq_group_requests_sum{work="append"} 3`, `topiq_group_messages_sum{work="append"} 5`,
		`topiq_group_bytes_total{work="append"} 70`,
		`topiq_commit_failures_total{code="storage_full",work="append"} 1`,
		`topiq_commit_failures_total{code="unavailable",work="append"} 0`,
	)
}

// measured is a store with figures of its own.
type measured struct{ service.Store }

func (measured) Stats() service.StoreStats {
	return service.StoreStats{
		Pools: []service.PoolStats{{
			Name: "write", Used: 1, Idle: 2, Opening: 3, Max: 4, Acquired: 5, Waited: 6, WaitTime: 7 * time.Second,
		}},
		File: &service.FileStats{Bytes: 8, WALBytes: 9, Checkpoints: 10, CheckpointFailures: 11},
	}
}

func open(t *testing.T, store service.Store, m *metrics.Metrics) *service.Broker {
	t.Helper()
	broker := service.NewBroker(store, service.Config{Observer: m})
	t.Cleanup(func() {
		if err := broker.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m.Watch(broker)
	return broker
}

func TestBroker(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Config{Version: "1.2"})
	if text := scrape(t, m); strings.Contains(text, "topiq_violations_total") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("without a broker:\n%s", text)
	}
	open(t, measured{memory.New(memory.Config{})}, m)
	m.Connections(func() int { return 12 })
	text := scrape(t, m)
	want(t, text,
		`topiq_pool_connections{pool="write",state="used"} 1`, `topiq_pool_connections{pool="write",state="idle"} 2`,
		`topiq_pool_connections{pool="write",state="opening"} 3`, `topiq_pool_connections_limit{pool="write"} 4`,
		`topiq_pool_acquires_total{pool="write"} 5`, `topiq_pool_waits_total{pool="write"} 6`,
		`topiq_pool_wait_seconds_total{pool="write"} 7`,
		`topiq_sqlite_file_bytes 8`, `topiq_sqlite_wal_bytes 9`,
		`topiq_sqlite_checkpoints_total 10`, `topiq_sqlite_checkpoint_failures_total 11`,
		`topiq_connections 12`, `topiq_waiting_pollers 0`, `topiq_overloaded_total{queue="poll"} 0`,
		`topiq_queue_requests{queue="append"} 0`, `topiq_violations_total 0`,
	)
	if !strings.Contains(text, `topiq_build_info{durability="memory",engine="memory",goversion="go`) || !strings.Contains(text, `version="1.2"} 1`) {
		t.Errorf("topiq_build_info is missing:\n%s", text)
	}
	if strings.Contains(text, "topiq_consumer_lag") {
		t.Errorf("nobody asked for lags:\n%s", text)
	}
}

func TestLags(t *testing.T) {
	t.Parallel()
	failing := false
	store := &dbtest.Faulty{Store: memory.New(memory.Config{}), Before: func(method string) error {
		if method == "ListConsumers" && failing {
			return errors.New("the disk is on fire")
		}
		return nil
	}}
	m := metrics.New(metrics.Config{Consumers: 1, LagEvery: time.Nanosecond})
	broker := open(t, store, m)
	p, _, err := broker.RegisterProducer(t.Context(), "orders", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := broker.RegisterConsumer(t.Context(), "orders", "billing", service.FromBeginning); err != nil {
		t.Fatal(err)
	}
	produce := func() {
		t.Helper()
		request := service.ProduceRequest{Topic: "orders", Producer: p.ID, Payloads: []service.Payload{{}}}
		if _, err := broker.Produce(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	produce()
	want(t, scrape(t, m), `topiq_consumer_lag{consumer="billing",topic="orders"} 1`,
		`topiq_consumer_lag_complete 1`, `topiq_consumer_lag_failures_total 0`)
	if _, _, err := broker.RegisterConsumer(t.Context(), "orders", "shipping", service.FromBeginning); err != nil {
		t.Fatal(err)
	}
	produce()
	text := scrape(t, m)
	want(t, text, `topiq_consumer_lag{consumer="billing",topic="orders"} 2`, `topiq_consumer_lag_complete 0`)
	if strings.Contains(text, "shipping") {
		t.Errorf("more than were asked for:\n%s", text)
	}
	failing = true
	text = scrape(t, m)
	want(t, text, `topiq_consumer_lag_failures_total 1`, `topiq_consumer_lag_complete 0`, `topiq_waiting_pollers 0`)
	if strings.Contains(text, "billing") {
		t.Errorf("a lag that nobody knows is shown:\n%s", text)
	}
}

// What was read is shown for a while: the store is not asked by each scrape.
func TestLagsAreCached(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Config{Consumers: 10, LagEvery: time.Hour})
	broker := open(t, memory.New(memory.Config{}), m)
	scrape(t, m)
	if _, _, err := broker.RegisterProducer(t.Context(), "orders", "", ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := broker.RegisterConsumer(t.Context(), "orders", "billing", service.FromBeginning); err != nil {
		t.Fatal(err)
	}
	if text := scrape(t, m); strings.Contains(text, "billing") {
		t.Errorf("the store was asked again:\n%s", text)
	}
}
