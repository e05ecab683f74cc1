package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireclient"

	"github.com/topiq/topiq/torture/history"
)

// client is one user of the brokers. It is used by one goroutine.
type client struct {
	w           *Workload
	topic, name string
	rand        *rand.Rand
	at          int // the broker it talks to
	incarnation string
	short       bool // it works on the topic with a short history
}

// call is one request; wireclient has its forms.
type call func(context.Context, *wireclient.Client) (*http.Response, error)

// op begins the description of an operation.
func (c *client) op(kind history.Kind) *history.Op {
	return &history.Op{
		Client: c.name, Kind: kind, Topic: c.topic, Name: c.name,
		Epoch: history.None, Seq: history.None, NextSeq: history.None,
		Offset: history.None, Next: history.None, End: history.None, Return: history.Never,
	}
}

// attempt makes one request to one broker, decodes a good answer into result and fills in what
// became of it. It does not record the operation: the caller adds what was answered first. It
// returns the refusal, if there is one.
func (c *client) attempt(op *history.Op, wait time.Duration, result any, do call) *wire.Failure {
	usual := c.w.Brokers()
	if usual > 1 && c.at < usual && c.rand.IntN(4) == 0 {
		c.at = c.rand.IntN(usual)
	}
	failure := c.w.attempt(op, c.at, wait, result, do)
	switch {
	case op.Outcome != history.OK && c.w.options.Spare:
		c.at = usual
	case op.Outcome != history.OK || c.at >= usual:
		c.at = c.rand.IntN(usual)
	}
	return failure
}

// attempt makes one request to one broker. Unlike the method of a client it may be called from many
// goroutines.
func (w *Workload) attempt(op *history.Op, broker int, wait time.Duration, result any, do call) *wire.Failure {
	op.Broker = broker
	ctx, cancel := context.WithTimeout(w.life, w.options.Timeout+wait)
	defer cancel()
	if op.Kind == history.Produce {
		w.inFlight.Add(1)
		defer w.inFlight.Add(-1)
	}
	op.Invoke = w.rec.Now()
	failure, err := exchange(ctx, w.clients[broker], op, result, do)
	now := w.rec.Now()
	switch {
	case err != nil && notSent(err):
		op.Outcome, op.Code, op.Return = history.Fail, history.CodeNotSent, now
	case err != nil:
		op.Outcome, op.Code = history.Info, history.CodeNoAnswer
	case failure == nil:
		op.Outcome, op.Return = history.OK, now
		w.served(op)
		return nil
	case op.Status >= 500:
		op.Outcome, op.Code = history.Info, string(failure.Code)
	default:
		op.Outcome, op.Code, op.Return = history.Fail, string(failure.Code), now
	}
	return failure
}

// exchange sends the request and reads the whole answer. An error means that there was none.
func exchange(ctx context.Context, to *wireclient.Client, op *history.Op, result any, do call) (*wire.Failure, error) {
	answer, err := do(ctx, to)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	op.Status = answer.StatusCode
	if answer.StatusCode == http.StatusOK {
		return nil, json.Unmarshal(body, result)
	}
	var failure wire.Failure
	if err := json.Unmarshal(body, &failure); err != nil {
		return nil, fmt.Errorf("an answer %d that is no refusal of this protocol: %w", answer.StatusCode, err)
	}
	return &failure, nil
}

// notSent says that no connection was made, so that the broker cannot have seen the request.
func notSent(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}

// retryPause is short: the point is to meet a broker that has just come back.
func (c *client) retryPause() time.Duration {
	return 5*time.Millisecond + time.Duration(c.rand.Int64N(int64(40*time.Millisecond)))
}

// persist repeats an attempt until it knows its outcome and the outcome is not that nothing was
// sent, or that the broker asks for patience. It returns nil when the workload gave up.
func (c *client) persist(attempt func() (*history.Op, *wire.Failure)) *history.Op {
	for {
		op, _ := attempt()
		switch {
		case op.Outcome == history.OK:
			return op
		case op.Outcome == history.Fail && op.Code != history.CodeNotSent && op.Code != string(wire.FailureCodeRateLimited) &&
			op.Code != string(wire.FailureCodeRequestTimeout):
			return op
		case c.w.life.Err() != nil:
			c.w.problem("I19: given up: %s", op)
			return nil
		}
		c.w.backOff(c.retryPause())
	}
}

// pace pauses a client that sends one of so many shares of the whole rate.
func (c *client) pace(clients int) {
	mean := time.Duration(float64(time.Second) * float64(max(clients, 1)) / float64(max(c.w.options.Rate, 1)))
	c.w.sleep(time.Duration(float64(mean) * (0.5 + c.rand.Float64())))
}

func (c *client) incarnationToSend() *string {
	if c.incarnation == "" {
		return nil
	}
	return &c.incarnation
}
