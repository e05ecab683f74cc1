package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/topiq/topiq/service"
)

// figure is one family of what a broker says of itself.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	show func(s *service.Stats, value func(v float64, labels ...string))
}

// brokerCollector shows service.Stats, all of one scrape from one look at them.
type brokerCollector struct {
	metrics     *Metrics
	figures     []figure
	build       *prometheus.Desc
	connections *prometheus.Desc
}

func newBrokerCollector(m *Metrics) *brokerCollector {
	return &brokerCollector{
		metrics: m, figures: slices.Concat(queueFigures(), brokerFigures(), poolFigures(), fileFigures()),
		build: prometheus.NewDesc("topiq_build_info", "1; the labels say which program this is, and on which store.",
			[]string{"version", "goversion", "engine", "durability"}, nil),
		connections: prometheus.NewDesc("topiq_connections", "Open connections of clients.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *brokerCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.build
	to <- c.connections
	for i := range c.figures {
		to <- c.figures[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *brokerCollector) Collect(to chan<- prometheus.Metric) {
	if count := c.metrics.connections.Load(); count != nil {
		to <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64((*count)()))
	}
	broker := c.metrics.broker.Load()
	if broker == nil {
		return
	}
	p, stats := broker.Properties(), broker.Stats()
	to <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1,
		c.metrics.config.Version, goVersion(), p.Engine, string(p.Durability))
	for i := range c.figures {
		f := &c.figures[i]
		f.show(&stats, func(v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
		})
	}
}

func gauge(name, help string, show func(*service.Stats, func(float64, ...string)), labels ...string) figure {
	return figure{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, show}
}

func counter(name, help string, show func(*service.Stats, func(float64, ...string)), labels ...string) figure {
	return figure{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, show}
}

// single is a figure without labels.
func single[N int | int64](of func(*service.Stats) N) func(*service.Stats, func(float64, ...string)) {
	return func(s *service.Stats, value func(float64, ...string)) { value(float64(of(s))) }
}

func queueFigures() []figure {
	each := func(of func(service.QueueStats) float64) func(*service.Stats, func(float64, ...string)) {
		return func(s *service.Stats, value func(float64, ...string)) {
			for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
				value(of(s.Queues[name]), name)
			}
		}
	}
	return []figure{
		gauge("topiq_queue_requests", "Requests in a queue, what is under way included: append and move (to be committed), head and consumer (shared reads).",
			each(func(q service.QueueStats) float64 { return float64(q.Requests) }), "queue"),
		gauge("topiq_queue_bytes", "What they count for, in bytes.",
			each(func(q service.QueueStats) float64 { return float64(q.Bytes) }), "queue"),
		counter("topiq_overloaded_total", "Requests that were refused as overloaded because a queue was full, or (poll) too many waited for messages.",
			func(s *service.Stats, value func(float64, ...string)) {
				each(func(q service.QueueStats) float64 { return float64(q.Refused) })(s, value)
				value(float64(s.Waiting.Refused), "poll")
			}, "queue"),
		gauge("topiq_waiting_pollers", "Calls that wait for a message.",
			single(func(s *service.Stats) int { return s.Waiting.Requests })),
	}
}

func brokerFigures() []figure {
	return []figure{
		counter("topiq_quota_refusals_total", "Requests that were refused as rate_limited, by the quota of their token or topic that was used up.",
			func(s *service.Stats, value func(float64, ...string)) {
				for _, quota := range slices.Sorted(maps.Keys(s.QuotaRefusals)) {
					value(float64(s.QuotaRefusals[quota]), string(quota))
				}
			}, "quota"),
		counter("topiq_tail_reads_total", "Reads of messages, by where they were answered from: hit is memory, miss the store.",
			func(s *service.Stats, value func(float64, ...string)) {
				value(float64(s.TailHits), "hit")
				value(float64(s.TailMisses), "miss")
			}, "result"),
		gauge("topiq_tail_bytes", "Messages near the ends of topics that are kept in memory, in bytes.",
			single(func(s *service.Stats) int64 { return s.TailBytes })),
		gauge("topiq_topics_known", "Topics that are known without asking the store.",
			single(func(s *service.Stats) int { return s.Topics })),
		gauge("topiq_positions_pending", "Consumers whose position is not written to the store yet.",
			single(func(s *service.Stats) int { return s.PendingPositions })),
		counter("topiq_violations_total", "What was found that must never be. Each has stopped a topic.",
			single(func(s *service.Stats) int64 { return s.Violations })),
		counter("topiq_unknown_outcomes_total", "Appends whose outcome was unknown, by whether it was found out: resolved, unresolved.",
			func(s *service.Stats, value func(float64, ...string)) {
				value(float64(s.Resolved), "resolved")
				value(float64(s.Unresolved), "unresolved")
			}, "outcome"),
	}
}

func poolFigures() []figure {
	each := func(of func(service.PoolStats) float64) func(*service.Stats, func(float64, ...string)) {
		return func(s *service.Stats, value func(float64, ...string)) {
			for _, p := range s.Store.Pools {
				value(of(p), p.Name)
			}
		}
	}
	return []figure{
		gauge("topiq_pool_connections", "Connections to the database, by pool and state: used, idle, opening.",
			func(s *service.Stats, value func(float64, ...string)) {
				for _, p := range s.Store.Pools {
					value(float64(p.Used), p.Name, "used")
					value(float64(p.Idle), p.Name, "idle")
					value(float64(p.Opening), p.Name, "opening")
				}
			}, "pool", "state"),
		gauge("topiq_pool_connections_limit", "Most connections of a pool.",
			each(func(p service.PoolStats) float64 { return float64(p.Max) }), "pool"),
		counter("topiq_pool_acquires_total", "How often a connection was taken from a pool.",
			each(func(p service.PoolStats) float64 { return float64(p.Acquired) }), "pool"),
		counter("topiq_pool_waits_total", "How often a pool had no connection to give at once.",
			each(func(p service.PoolStats) float64 { return float64(p.Waited) }), "pool"),
		counter("topiq_pool_wait_seconds_total", "How long those have waited for it together.",
			each(func(p service.PoolStats) float64 { return p.WaitTime.Seconds() }), "pool"),
	}
}

func fileFigures() []figure {
	single := func(of func(*service.FileStats) int64) func(*service.Stats, func(float64, ...string)) {
		return func(s *service.Stats, value func(float64, ...string)) {
			if s.Store.File != nil {
				value(float64(of(s.Store.File)))
			}
		}
	}
	return []figure{
		gauge("topiq_sqlite_file_bytes", "Size of the file of an SQLite store.",
			single(func(f *service.FileStats) int64 { return f.Bytes })),
		gauge("topiq_sqlite_wal_bytes", "Size of its write-ahead log.",
			single(func(f *service.FileStats) int64 { return f.WALBytes })),
		counter("topiq_sqlite_checkpoints_total", "How often the log was copied into the file.",
			single(func(f *service.FileStats) int64 { return f.Checkpoints })),
		counter("topiq_sqlite_checkpoint_failures_total", "How often that failed.",
			single(func(f *service.FileStats) int64 { return f.CheckpointFailures })),
	}
}
