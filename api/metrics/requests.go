package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Codes that no answer has.
const (
	// codeOK is that of a success.
	codeOK = "ok"
	// codeAborted is that of a request without an answer: its client has gone, or its handler broke off.
	codeAborted = "aborted"
	// codeOther stands for a code that was not named when the operation was.
	codeOther = "other"
)

// noOperation is the label of what is no operation: an unknown address, a file of /docs.
const noOperation = "none"

// Requests counts requests by operation and code. To count one allocates nothing and looks for no
// labels.
type Requests struct {
	inFlight    atomic.Int64
	answerBytes atomic.Int64
	operations  atomic.Pointer[[]*Operation]

	seconds                *prometheus.HistogramVec
	total, flight, answers *prometheus.Desc
}

// Operation counts the requests of one operation.
type Operation struct {
	name    string
	codes   map[string]int // index of counts
	names   []string       // its inverse
	counts  []atomic.Int64
	seconds prometheus.Observer
}

func newRequests() *Requests {
	r := &Requests{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "topiq_request_seconds",
			Help:    "Time from a request's headers to the end of its answer, by operation. A long poll waits on purpose.",
			Buckets: seconds(),
		}, []string{"operation"}),
		total: prometheus.NewDesc("topiq_requests_total",
			"Requests that have ended, by operation and code: ok, a code of the contract, or aborted where there was no answer.",
			[]string{"operation", "code"}, nil),
		flight:  prometheus.NewDesc("topiq_requests_in_flight", "Requests under way, long polls included.", nil, nil),
		answers: prometheus.NewDesc("topiq_answer_bytes_total", "Bytes of bodies of answers.", nil, nil),
	}
	r.operations.Store(&[]*Operation{})
	return r
}

// Operations names the operations there are, and the codes they may answer. It returns their
// counters in the same order, and at last one for requests that are no operation. It replaces what
// was counted before.
func (r *Requests) Operations(names, codes []string) []*Operation {
	r.seconds.Reset()
	var operations []*Operation
	for _, name := range append(append([]string{}, names...), noOperation) {
		o := &Operation{name: name, codes: map[string]int{}, seconds: r.seconds.WithLabelValues(name)}
		o.names = append([]string{codeOK, codeAborted, codeOther}, codes...)
		for i, code := range o.names {
			o.codes[code] = i
		}
		o.counts = make([]atomic.Int64, len(o.names))
		operations = append(operations, o)
	}
	r.operations.Store(&operations)
	return operations
}

// Begin notes a request that has come in. End must follow.
func (r *Requests) Begin() { r.inFlight.Add(1) }

// Ended is how a request has ended.
type Ended struct {
	// Answered is false where not even a status was sent.
	Answered bool
	// Code is that of a failure, "" for a success.
	Code string
	// Bytes is the length of the answer's body.
	Bytes int64
	Took  time.Duration
}

// End notes the end of a request.
func (r *Requests) End(o *Operation, e Ended) {
	r.inFlight.Add(-1)
	r.answerBytes.Add(e.Bytes)
	o.seconds.Observe(e.Took.Seconds())
	switch {
	case !e.Answered:
		o.counts[1].Add(1)
	case e.Code == "":
		o.counts[0].Add(1)
	default:
		i, known := o.codes[e.Code]
		if !known {
			i = 2
		}
		o.counts[i].Add(1)
	}
}

// Describe implements prometheus.Collector.
func (r *Requests) Describe(to chan<- *prometheus.Desc) {
	r.seconds.Describe(to)
	to <- r.total
	to <- r.flight
	to <- r.answers
}

// Collect implements prometheus.Collector. Of codes only those are shown that were answered.
func (r *Requests) Collect(to chan<- prometheus.Metric) {
	r.seconds.Collect(to)
	for _, o := range *r.operations.Load() {
		for i := range o.counts {
			if n := o.counts[i].Load(); n > 0 || i == 0 {
				to <- prometheus.MustNewConstMetric(r.total, prometheus.CounterValue, float64(n), o.name, o.names[i])
			}
		}
	}
	to <- prometheus.MustNewConstMetric(r.flight, prometheus.GaugeValue, float64(r.inFlight.Load()))
	to <- prometheus.MustNewConstMetric(r.answers, prometheus.CounterValue, float64(r.answerBytes.Load()))
}
