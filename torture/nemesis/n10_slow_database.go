package nemesis

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

const (
	slowQueue   = 100 // requests that the broker may keep waiting
	slowFlood   = 300 // clients that fill it
	slowPhase   = 4 * time.Second
	slowPeakMiB = 300 // of the broker: a few hundred small requests are nothing
	floodTopic  = "flood"
)

// slowDatabase is N10.
func slowDatabase() []Nemesis {
	return []Nemesis{{
		ID: "N10", Name: "slow database, each message late by 5-2,000 ms", Engines: []string{Postgres},
		Faults: "phases", Round: slowDatabaseRound,
	}}
}

// slowDatabaseRound makes the line to the database longer and longer while more clients come than it can
// serve. The broker keeps a bounded queue, refuses the others at once and says when to come again.
func slowDatabaseRound(ctx context.Context, r *Round) error {
	l, err := r.lines(ctx, 1, BrokerOptions{Args: []string{"--queue-requests", strconv.Itoa(slowQueue)}})
	if err != nil {
		return err
	}
	b := l.brokers[0]
	if _, err := r.Workload(ctx, workload.Options{Producers: 12}); err != nil {
		return err
	}
	flood, err := startFlood(ctx, b)
	if err != nil {
		return err
	}
	defer flood.stop()
	for _, ms := range []int64{5, 50, 200, 500, 1000, 2000} {
		r.FaultSoon()
		delay := time.Duration(ms) * time.Millisecond
		l.proxies[0].SetDelay(delay)
		if err := server.Pause(ctx, time.Duration(r.Times(int(slowPhase/2+time.Duration(r.Rand.Int64N(int64(slowPhase))))))); err != nil {
			return err
		}
		if u, err := server.UsageOf(b.Pid()); err == nil {
			r.Log.InfoContext(ctx, "slow database", "delay", delay, "rss_mib", u.RSS>>20, "files", u.Files, "shed", flood.shed.Load())
		}
	}
	l.proxies[0].SetDelay(0)
	ended := time.Now()
	flood.stop()
	r.judgeFlood(flood, b)
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{AuditAt: l.direct})
}

func (r *Round) judgeFlood(f *flood, b *server.Broker) {
	asked, shed := f.asked.Load(), f.shed.Load()
	r.Result.Extra["flood_requests"], r.Result.Extra["flood_shed"] = float64(asked), float64(shed)
	r.Result.Extra["shed_rate"] = float64(shed) / float64(max(asked, 1))
	r.Result.Extra["slowest_refusal_ms"] = float64(f.slowest.Load())
	if shed == 0 {
		r.Invalid("the queue was never full, so that nobody was refused")
	}
	for sentence, n := range f.problems() {
		r.Violation("%s (%d times)", sentence, n)
	}
	if mib := r.peak(b); mib > slowPeakMiB {
		r.Violation("a broker with a queue of %d requests took %.0f MiB", slowQueue, mib)
	}
}

// flood is many clients whose requests can never be stored: each expects the topic to end where it never
// will. They take their place in the queue like any other.
type flood struct {
	cancel               context.CancelFunc
	group                sync.WaitGroup
	asked, shed, slowest atomic.Int64

	mu    sync.Mutex
	wrong map[string]int
}

func startFlood(ctx context.Context, b *server.Broker) (*flood, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: slowFlood}
	client := &http.Client{Transport: transport}
	id, err := registerProducer(ctx, client, b.URL(), floodTopic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &flood{cancel: cancel, wrong: map[string]int{}}
	body := map[string]any{"topic": floodTopic, "producer_id": id, "message": "never stored", "expected_offset": int64(1) << 50}
	for range slowFlood {
		f.group.Go(func() {
			for ctx.Err() == nil {
				f.once(ctx, client, b.URL()+"/producer/produce", body)
			}
		})
	}
	context.AfterFunc(ctx, transport.CloseIdleConnections)
	return f, nil
}

// once asks and judges the answer.
func (f *flood) once(ctx context.Context, client *http.Client, url string, body any) {
	began := time.Now()
	got, err := ask(ctx, client, http.MethodPost, url, body)
	if err != nil {
		_ = server.Pause(ctx, 50*time.Millisecond)
		return // by the end of the flood
	}
	f.asked.Add(1)
	switch {
	case got.status == http.StatusPreconditionFailed:
	case got.status != http.StatusServiceUnavailable:
		f.note(fmt.Sprintf("a flooded broker answered %d", got.status))
	case got.header.Get("Retry-After") == "":
		f.note("a 503 did not say when to come again")
	default:
		if bytes.Contains(got.body, []byte(`"overloaded"`)) {
			f.shed.Add(1)
			ms := time.Since(began).Milliseconds()
			for old := f.slowest.Load(); ms > old && !f.slowest.CompareAndSwap(old, ms); old = f.slowest.Load() {
			}
		}
		_ = server.Pause(ctx, 100*time.Millisecond)
	}
}

func (f *flood) note(sentence string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong[sentence]++
}

func (f *flood) problems() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

// stop may be called more than once.
func (f *flood) stop() {
	f.cancel()
	f.group.Wait()
}
