package api

import (
	"context"
	"time"

	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/gen/wireserver"
)

// counts is where requests are counted. Each operation knows its own counters, so no request has to
// look for them.
type counts struct {
	requests *metrics.Requests
	others   *metrics.Operation // what is no operation
}

func newCounts(to *metrics.Metrics, operations *operations) *counts {
	names := make([]string, len(operations.all))
	for i, o := range operations.all {
		names[i] = o.id
	}
	c := &counts{requests: to.Requests()}
	counted := c.requests.Operations(names, operations.codes)
	for i, o := range operations.all {
		o.counted = counted[i]
	}
	c.others = counted[len(names)]
	return c
}

// end counts a request that has ended.
func (c *counts) end(x *exchange) {
	counted := c.others
	if x.operation != nil {
		counted = x.operation.counted
	}
	c.requests.End(counted, metrics.Ended{
		Answered: x.status != 0, Code: x.code, Bytes: x.size, Took: time.Since(x.began),
	})
}

// Metrics implements wireserver.StrictServerInterface.
func (h *handlers) Metrics(context.Context, wireserver.MetricsRequestObject) (wireserver.MetricsResponseObject, error) {
	text, err := h.config.Metrics.Write()
	if err != nil {
		return nil, err
	}
	return &file{contentType: metrics.ContentType, content: text}, nil
}
