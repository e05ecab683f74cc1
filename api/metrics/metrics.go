// Package metrics shows what a broker does in the format of Prometheus.
//
// A Metrics has a registry of its own: nothing of it is global, and two brokers in one process do not
// share theirs. It is told of groups by the broker (service.Observer) and of requests by package api,
// and asks the broker for the rest (service.Stats) when somebody scrapes. docs/operations.md lists
// every metric.
//
// No label has what a client sends, but for the topics and consumers of topiq_consumer_lag, which
// must be asked for and are bounded in number.
package metrics

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/topiq/topiq/service"
)

// ContentType is that of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Config is what a Metrics can be told. The zero value works.
type Config struct {
	// Version is the broker's. Default "dev".
	Version string
	// Consumers is how many named consumers have their lag shown; 0 is none. It is read from the store,
	// at most once in LagEvery.
	Consumers int
	// LagEvery is how long a lag that was read is shown. Default 10 s.
	LagEvery time.Duration
}

// Metrics are the figures of one broker. Its methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	config   Config
	groups   groups
	requests *Requests

	broker      atomic.Pointer[service.Broker]
	connections atomic.Pointer[func() int]
}

var _ service.Observer = (*Metrics)(nil)

// New returns metrics that know of no broker yet.
func New(config Config) *Metrics {
	if config.Version == "" {
		config.Version = "dev"
	}
	if config.LagEvery == 0 {
		config.LagEvery = 10 * time.Second
	}
	m := &Metrics{registry: prometheus.NewRegistry(), config: config, groups: newGroups(), requests: newRequests()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&m.groups, m.requests, newBrokerCollector(m),
	)
	if config.Consumers > 0 {
		m.registry.MustRegister(newLagCollector(m))
	}
	return m
}

// Watch has the metrics show a broker from now on, in place of the one before.
func (m *Metrics) Watch(broker *service.Broker) { m.broker.Store(broker) }

// Connections has the metrics show how many connections are open, which count says.
func (m *Metrics) Connections(count func() int) { m.connections.Store(&count) }

// Requests counts requests.
func (m *Metrics) Requests() *Requests { return m.requests }

// Write answers all metrics in the text format.
func (m *Metrics) Write() ([]byte, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return text.Bytes(), nil
}

// seconds are the bounds of histograms of times: from what memory takes to what a long poll waits.
func seconds() []float64 {
	return []float64{
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
	}
}

// groups are the histograms of what is committed together.
type groups struct {
	seconds, requests, messages *prometheus.HistogramVec
	bytes, failures             *prometheus.CounterVec
	of                          map[service.Work]*ofWork
}

// ofWork are those of one kind of work, so that no group looks for its labels.
type ofWork struct {
	seconds, requests, messages prometheus.Observer
	bytes                       prometheus.Counter
}

func newGroups() groups {
	labels := []string{"work"}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	g := groups{
		seconds: histogram("topiq_commit_seconds",
			"How long the transaction of a group took, its COMMIT included, by work (append, move).", seconds()),
		requests: histogram("topiq_group_requests", "Requests that were committed together, by work.",
			prometheus.ExponentialBuckets(1, 2, 13)),
		messages: histogram("topiq_group_messages", "Messages that were stored or dequeued together, by work.",
			append([]float64{0}, prometheus.ExponentialBuckets(1, 4, 9)...)),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "topiq_group_bytes_total", Help: "Bytes of messages that were stored or dequeued, with their headers, by work.",
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "topiq_commit_failures_total", Help: "Transactions of groups that failed as a whole, by work and code.",
		}, []string{"work", "code"}),
		of: map[service.Work]*ofWork{},
	}
	for _, work := range []service.Work{service.WorkAppend, service.WorkMove} {
		name := string(work)
		g.of[work] = &ofWork{
			seconds: g.seconds.WithLabelValues(name), requests: g.requests.WithLabelValues(name),
			messages: g.messages.WithLabelValues(name), bytes: g.bytes.WithLabelValues(name),
		}
		g.failures.WithLabelValues(name, string(service.CodeUnavailable)) // there from the start
	}
	return g
}

// Describe implements prometheus.Collector.
func (g *groups) Describe(to chan<- *prometheus.Desc) {
	for _, c := range []prometheus.Collector{g.seconds, g.requests, g.messages, g.bytes, g.failures} {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (g *groups) Collect(to chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{g.seconds, g.requests, g.messages, g.bytes, g.failures} {
		c.Collect(to)
	}
}

// Grouped implements service.Observer.
func (m *Metrics) Grouped(g service.Group) {
	of := m.groups.of[g.Work]
	of.seconds.Observe(g.Took.Seconds())
	if g.Err != nil {
		m.groups.failures.WithLabelValues(string(g.Work), string(service.CodeOf(g.Err))).Inc()
		return
	}
	of.requests.Observe(float64(g.Requests))
	of.messages.Observe(float64(g.Messages))
	of.bytes.Add(float64(g.Bytes))
}

// goVersion is what this program was built with.
func goVersion() string { return runtime.Version() }

// scrapeTimeout bounds what a scrape reads from the store.
const scrapeTimeout = 5 * time.Second

func scrapeContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), scrapeTimeout)
}
