package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/topiq/topiq/service"
)

// lagCollector shows the lag of consumers. It reads the store, so what was read is shown for a while,
// and scrapes that come at the same time share one read.
type lagCollector struct {
	metrics             *Metrics
	lag, shown, failure *prometheus.Desc

	mu       sync.Mutex
	readAt   time.Time // zero: never
	lags     []service.ConsumerLag
	all      bool
	failures int64
}

func newLagCollector(m *Metrics) *lagCollector {
	return &lagCollector{
		metrics: m,
		lag: prometheus.NewDesc("topiq_consumer_lag",
			"Messages that a named consumer has not dequeued yet. With --metrics-consumers.", []string{"topic", "consumer"}, nil),
		shown: prometheus.NewDesc("topiq_consumer_lag_complete",
			"1 if these are all named consumers, 0 if some were left out. With --metrics-consumers.", nil, nil),
		failure: prometheus.NewDesc("topiq_consumer_lag_failures_total",
			"How often the store did not tell the lags; then none are shown. With --metrics-consumers.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.lag
	to <- c.shown
	to <- c.failure
}

// Collect implements prometheus.Collector. A store that does not answer leaves the lags out and
// nothing else.
func (c *lagCollector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readAt.IsZero() || time.Since(c.readAt) >= c.metrics.config.LagEvery {
		c.read()
	}
	complete := 0.0
	if c.all {
		complete = 1
	}
	to <- prometheus.MustNewConstMetric(c.shown, prometheus.GaugeValue, complete)
	to <- prometheus.MustNewConstMetric(c.failure, prometheus.CounterValue, float64(c.failures))
	for _, l := range c.lags {
		to <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(l.Lag), string(l.Topic), l.Consumer)
	}
}

// read reads the lags. The caller holds mu.
func (c *lagCollector) read() {
	c.lags, c.all = nil, false
	broker := c.metrics.broker.Load()
	if broker == nil {
		return
	}
	ctx, cancel := scrapeContext()
	defer cancel()
	lags, all, err := broker.Lags(ctx, c.metrics.config.Consumers)
	c.readAt = time.Now()
	if err != nil {
		c.failures++
		return
	}
	c.lags, c.all = lags, all
}
