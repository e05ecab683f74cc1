package main

import (
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder adds up what the workers of a phase do from start to end.
type recorder struct {
	start, end time.Time
	live       *liveFigures

	mu        sync.Mutex
	latencies *hdrhistogram.Histogram // microseconds
	sum       work
	failures  map[string]int64
}

// The longest latency that is told from longer ones, in microseconds, and the digits that are kept.
const (
	maxLatency    = int64(2 * benchTimeout / time.Microsecond)
	latencyDigits = 3
)

func newRecorder(start, end time.Time, live *liveFigures) *recorder {
	return &recorder{
		start: start, end: end, live: live,
		latencies: hdrhistogram.New(1, maxLatency, latencyDigits), failures: map[string]int64{},
	}
}

func (r *recorder) add(m *meter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, latency := range m.latencies {
		_ = r.latencies.RecordValue(min(max(latency, 1), maxLatency)) // it fails only beyond these
	}
	r.sum.messages += m.sum.messages
	r.sum.bytes += m.sum.bytes
	var failures int64
	for code, n := range m.failures {
		r.failures[code] += n
		failures += n
	}
	r.live.add(m.sum.messages, failures)
}

// figures are what came out of one phase, or the medians of several.
type figures struct {
	// Messages and Requests are counted; MessageRate is messages a second, ByteRate bytes of payload a second.
	Messages    int64            `json:"messages"`
	Requests    int64            `json:"requests"`
	MessageRate float64          `json:"messages_per_second"`
	ByteRate    float64          `json:"bytes_per_second"`
	Latency     latencies        `json:"latency_ms"`
	Errors      map[string]int64 `json:"errors,omitempty"`
}

// latencies are in milliseconds.
type latencies struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func (r *recorder) figures() figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := r.end.Sub(r.start).Seconds()
	at := func(percent float64) float64 { return float64(r.latencies.ValueAtPercentile(percent)) / 1000 }
	f := figures{
		Messages: r.sum.messages, Requests: r.latencies.TotalCount(),
		MessageRate: float64(r.sum.messages) / seconds, ByteRate: float64(r.sum.bytes) / seconds,
	}
	if f.Requests > 0 {
		f.Latency = latencies{at(50), at(90), at(99), at(99.9), at(100)}
	}
	if len(r.failures) > 0 {
		f.Errors = r.failures
	}
	return f
}

// medianFigures has the median of each figure over the rounds, and the sums of what is counted.
func medianFigures(rounds []figures) figures {
	of := func(pick func(*figures) float64) float64 {
		values := make([]float64, len(rounds))
		for i := range rounds {
			values[i] = pick(&rounds[i])
		}
		return spreadOf(values).Median
	}
	m := figures{
		MessageRate: of(func(f *figures) float64 { return f.MessageRate }),
		ByteRate:    of(func(f *figures) float64 { return f.ByteRate }),
		Latency: latencies{
			of(func(f *figures) float64 { return f.Latency.P50 }), of(func(f *figures) float64 { return f.Latency.P90 }),
			of(func(f *figures) float64 { return f.Latency.P99 }), of(func(f *figures) float64 { return f.Latency.P999 }),
			of(func(f *figures) float64 { return f.Latency.Max }),
		},
	}
	for i := range rounds {
		m.Messages += rounds[i].Messages
		m.Requests += rounds[i].Requests
		for code, n := range rounds[i].Errors {
			if m.Errors == nil {
				m.Errors = map[string]int64{}
			}
			m.Errors[code] += n
		}
	}
	return m
}

// spread is the middle of some values and how far they lie apart.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf is the spread of at least one value.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}
