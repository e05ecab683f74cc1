package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/gen/wireclient"

	"github.com/topiq/topiq/torture/history"
)

// Workload is a running set of clients.
type Workload struct {
	options   Options
	rec       *history.Recorder
	transport *http.Transport
	clients   []*wireclient.Client
	topics    []string

	stopping chan struct{}
	stopOnce sync.Once
	// life ends when clients must give up what they have not resolved.
	life   context.Context //nolint:containedctx // of the clients' goroutines, which New starts
	giveUp context.CancelFunc
	group  sync.WaitGroup

	inFlight   atomic.Int64 // requests to produce
	short      atomic.Int64 // operations on the topic with a short history
	everywhere atomic.Int64 // requests that were sent to all brokers at once

	mu       sync.Mutex
	acks     []int64  // when produces returned ok
	progress []Served // by broker
	problems []string // of clients that gave up
}

// Served is when a broker last served: the latest invocation of an operation of each sort that it
// answered well, on the clock of the history.
type Served struct{ Produce, Read int64 }

// Start makes the topics, starts all clients and returns. They work until Stop.
func Start(ctx context.Context, o Options) (*Workload, error) {
	o = o.withDefaults()
	if len(o.URLs) == 0 {
		return nil, errors.New("a workload needs a broker")
	}
	life, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	w := &Workload{
		options: o, rec: o.Recorder, life: life, giveUp: giveUp, stopping: make(chan struct{}),
		progress: make([]Served, len(o.URLs)),
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.Timeout}).DialContext,
			MaxIdleConnsPerHost: 1000, DisableCompression: true,
		},
	}
	for _, url := range o.URLs {
		client, err := wireclient.NewClient(url, wireclient.WithHTTPClient(&http.Client{Transport: w.transport}))
		if err != nil {
			giveUp()
			return nil, err
		}
		w.clients = append(w.clients, client)
	}
	for i := range o.Topics {
		w.topics = append(w.topics, fmt.Sprintf("%s-t%d", o.Prefix, i))
	}
	w.start()
	if !o.NoShort {
		w.startShort()
	}
	return w, nil
}

// start starts every client in a goroutine of its own.
func (w *Workload) start() {
	o := &w.options
	number := uint64(0)
	run := func(n int, sort string, work func(*client)) {
		for t, topic := range w.topics {
			for i := range n {
				number++
				c := &client{
					w: w, topic: topic, name: fmt.Sprintf("%s-%s%d-%d", o.Prefix, sort, t, i),
					rand: rand.New(rand.NewPCG(o.Seed, number)),
				}
				c.at = c.rand.IntN(len(w.clients))
				w.group.Go(func() { work(c) })
			}
		}
	}
	run(o.Producers, "p", (*client).produceAlone)
	run(o.Takeovers, "x", (*client).produceInTurns)
	run(o.Unsequenced, "u", (*client).produceOnce)
	run(o.Readers, "r", (*client).readAnywhere)
	run(o.Pollers, "l", (*client).readOn)
	run(o.Consumers, "c", (*client).consumeAt)
	run(o.Plain, "q", (*client).consumePlain)
	run(o.Seekers, "s", (*client).seek)
}

// Topics are the names of the topics.
func (w *Workload) Topics() []string { return w.topics }

// Brokers is how many brokers, or proxies, the clients use, without the spare one.
func (w *Workload) Brokers() int {
	if w.options.Spare {
		return len(w.clients) - 1
	}
	return len(w.clients)
}

// Recorder has the history.
func (w *Workload) Recorder() *history.Recorder { return w.rec }

// Acked is how many requests to produce were answered well.
func (w *Workload) Acked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acks)
}

// Rate is how many requests to produce a second were answered well in a stretch of the history.
func (w *Workload) Rate(from, to int64) float64 {
	if to <= from {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Nearly sorted: they are added by many goroutines. What is out of order is so by microseconds.
	i := sort.Search(len(w.acks), func(i int) bool { return w.acks[i] >= from })
	j := sort.Search(len(w.acks), func(i int) bool { return w.acks[i] >= to })
	return float64(j-i) / (float64(to-from) / 1e9)
}

// SentEverywhere is how many requests were sent to all brokers at the same moment.
func (w *Workload) SentEverywhere() int { return int(w.everywhere.Load()) }

// InFlight is how many requests to produce wait for an answer now.
func (w *Workload) InFlight() int { return int(w.inFlight.Load()) }

// Served says when a broker last served.
func (w *Workload) Served(broker int) Served {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress[broker]
}

func (w *Workload) served(op *history.Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.progress[op.Broker]
	switch op.Kind {
	case history.Produce:
		w.acks = append(w.acks, op.Return)
		p.Produce = max(p.Produce, op.Invoke)
	case history.Read, history.ConsumeAt:
		p.Read = max(p.Read, op.Invoke)
	default:
	}
}

func (w *Workload) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.problems) < 20 {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

// Stopped says whether Stop was called.
func (w *Workload) Stopped() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// sleep pauses a client; it returns at once when the workload is being stopped.
func (w *Workload) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.stopping:
	}
}

// backOff pauses before another attempt, also while the workload is being stopped.
func (w *Workload) backOff(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.life.Done():
	}
}

// Stop lets every client resolve what it has begun, for at most that long, and waits until all have
// ended. It returns what was left unresolved and why (I19), nothing if all was.
func (w *Workload) Stop(atMost time.Duration) []string {
	w.stopOnce.Do(func() { close(w.stopping) })
	timer := time.AfterFunc(atMost, w.giveUp)
	w.group.Wait()
	timer.Stop()
	w.giveUp()
	w.transport.CloseIdleConnections()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems
}
