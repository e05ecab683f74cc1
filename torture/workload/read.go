package workload

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireclient"

	"github.com/topiq/topiq/torture/history"
)

func newRand(r *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) }

// readPause keeps readers from taking the processor away from what they read.
const readPause = 40 * time.Millisecond

// readAnywhere reads at random places up to the end it knows, and at times from the beginning.
func (c *client) readAnywhere() {
	end := int64(0)
	for !c.w.Stopped() {
		offset := int64(0)
		if end > 0 && c.rand.IntN(10) > 0 {
			offset = c.rand.Int64N(end + 1)
		}
		op := c.read(offset, 1+c.rand.Int64N(100), 0)
		switch {
		case op.Outcome == history.OK:
			end = max(end, op.End)
		case op.Code == string(wire.FailureCodeIncarnationChanged) || op.Code == string(wire.FailureCodeOffsetOutOfRange):
			end, c.incarnation = 0, ""
		}
		c.w.sleep(readPause)
	}
}

// readOn follows the topic with long polls.
func (c *client) readOn() {
	next := int64(0)
	for !c.w.Stopped() {
		op := c.read(next, 500, 1)
		switch {
		case op.Outcome == history.OK:
			next = op.Next
		case op.Code == string(wire.FailureCodeIncarnationChanged) || op.Code == string(wire.FailureCodeOffsetOutOfRange):
			next, c.incarnation = 0, ""
		default:
			c.w.sleep(c.retryPause())
		}
		c.w.sleep(readPause / 4)
	}
}

// read reads once and records it.
func (c *client) read(offset, limit, wait int64) *history.Op {
	op := c.op(history.Read)
	op.Name, op.Offset, op.Limit = "", offset, limit
	var result wire.ReadMessagesResult
	params := &wire.ReadMessagesParams{Offset: &offset, Limit: &limit, Incarnation: c.incarnationToSend()}
	if wait > 0 {
		params.Wait = &wait
	}
	c.attempt(op, time.Duration(wait)*time.Second, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
		return to.ReadMessages(ctx, c.topic, params)
	})
	if op.Outcome == history.OK {
		op.Messages = seenMessages(c.w, result.Messages)
		op.Next, op.End, op.Incarnation = result.NextOffset, result.EndOffset, result.Incarnation
		c.incarnation = result.Incarnation
	}
	c.w.rec.Add(op)
	if op.Outcome != history.OK {
		c.w.sleep(c.retryPause())
	}
	return op
}

// consumer registers the client's name as a consumer and returns its id and position; ok is false
// when the workload gave up.
func (c *client) consumer() (id, position int64, ok bool) {
	for {
		var result wire.RegisterConsumerResult
		op := c.persist(func() (*history.Op, *wire.Failure) {
			op := c.op(history.State)
			failure := c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
				return to.RegisterConsumer(ctx, wire.RegisterConsumerRequest{Topic: c.topic, ConsName: &c.name})
			})
			if op.Outcome == history.OK {
				op.Offset, op.Incarnation = result.Offset, result.Incarnation
			}
			if op.Code != string(wire.FailureCodeTopicNotFound) {
				c.w.rec.Add(op)
			}
			return op, failure
		})
		switch {
		case op == nil:
			return 0, 0, false
		case op.Outcome == history.OK:
			c.incarnation = result.Incarnation
			return result.ConsumerID, result.Offset, true
		case c.w.Stopped():
			return 0, 0, false
		}
		c.w.sleep(c.retryPause()) // the producers have not made the topic yet
	}
}

// consumeAt consumes with an offset, the way that loses nothing. In the end it commits what it has,
// and makes sure of it.
func (c *client) consumeAt() {
	id, position, ok := c.consumer()
	if !ok {
		return
	}
	for {
		last := c.w.Stopped()
		op := c.persist(func() (*history.Op, *wire.Failure) { return c.consumeFrom(id, position, !last) })
		switch {
		case op == nil:
			return
		case op.Outcome == history.OK:
			if last {
				return
			}
			position = op.Next
		case last:
			c.w.problem("the last commit of a consumer was refused: %s", op)
			return
		default: // The history of the topic has changed; the check says whether that was all right.
			if id, position, ok = c.consumer(); !ok {
				return
			}
			c.w.sleep(c.retryPause())
		}
		c.w.sleep(readPause / 2)
	}
}

func (c *client) consumeFrom(id, position int64, poll bool) (*history.Op, *wire.Failure) {
	op := c.op(history.ConsumeAt)
	op.Offset, op.Limit = position, 200
	request := wire.ConsumeRequest{
		Topic: c.topic, ConsumerID: id, Offset: &position, Limit: &op.Limit,
		Incarnation: c.incarnationToSend(),
	}
	wait := int64(0)
	if poll && c.rand.IntN(2) == 0 {
		wait = 1
		request.Wait = &wait
	}
	var result wire.ConsumeResult
	failure := c.attempt(op, time.Duration(wait)*time.Second, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
		return to.ConsumePost(ctx, request)
	})
	if op.Outcome == history.OK {
		op.Messages, op.Next, op.Incarnation = seenMessages(c.w, result.Messages), result.Offset, result.Incarnation
	}
	c.w.rec.Add(op)
	return op, failure
}

// consumePlain consumes without an offset: each answer moves the consumer by one, also one that is
// lost on its way.
func (c *client) consumePlain() {
	id, _, ok := c.consumer()
	if !ok {
		return
	}
	for !c.w.Stopped() {
		op := c.op(history.Consume)
		var result wire.ConsumeResult
		c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
			return to.ConsumePost(ctx, wire.ConsumeRequest{Topic: c.topic, ConsumerID: id})
		})
		if op.Outcome == history.OK {
			op.Next, op.Incarnation = result.Offset, result.Incarnation
			seen, err := SeenMessage(&wire.LogMessage{
				Offset: result.Offset - 1, Message: result.Message, MessageBase64: result.MessageBase64,
				Headers: result.Headers, ProdName: result.ProdName, Seq: result.Seq, CreatedAt: created(&result),
			})
			if err != nil {
				c.w.problem("I8: %v", err)
			}
			op.Messages = []history.Message{seen}
		}
		c.w.rec.Add(op)
		if op.Outcome != history.OK {
			c.w.sleep(c.retryPause())
		}
		c.w.sleep(readPause)
	}
}

func created(r *wire.ConsumeResult) time.Time {
	if r.CreatedAt == nil {
		return time.Time{}
	}
	return *r.CreatedAt
}

// seek moves a consumer about and looks where it is.
func (c *client) seek() {
	id, _, ok := c.consumer()
	if !ok {
		return
	}
	for !c.w.Stopped() {
		// Up to what is there; the first message may not be yet.
		to := int64(0)
		if end := c.knownEnd(); end > 0 {
			to = c.rand.Int64N(end)
		}
		op := c.persist(func() (*history.Op, *wire.Failure) { return c.setOffset(id, to) })
		if op == nil {
			return
		}
		if op.Outcome == history.OK {
			if op = c.persist(func() (*history.Op, *wire.Failure) { return c.state(id) }); op == nil {
				return
			}
		} else if id, _, ok = c.consumer(); !ok {
			return
		}
		c.w.sleep(readPause * 2)
	}
}

func (c *client) setOffset(id, to int64) (*history.Op, *wire.Failure) {
	op := c.op(history.Seek)
	op.Offset = to
	var result wire.SetOffsetResult
	failure := c.attempt(op, 0, &result, func(ctx context.Context, broker *wireclient.Client) (*http.Response, error) {
		return broker.SetOffset(ctx, wire.SetOffsetRequest{ConsumerID: id, Offset: &to, Topic: &c.topic})
	})
	if op.Outcome == history.OK && result.Offset != to {
		c.w.problem("I11: set_offset %d was answered with %d", to, result.Offset)
	}
	c.w.rec.Add(op)
	return op, failure
}

func (c *client) state(id int64) (*history.Op, *wire.Failure) {
	op := c.op(history.State)
	var result wire.ConsumerResult
	failure := c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
		return to.DescribeConsumer(ctx, &wire.DescribeConsumerParams{Topic: c.topic, ConsumerID: &id})
	})
	if op.Outcome == history.OK {
		op.Offset = result.Offset
	}
	c.w.rec.Add(op)
	return op, failure
}

// knownEnd asks for the end of the topic, 0 if the broker does not say.
func (c *client) knownEnd() int64 {
	var result wire.TopicResult
	op := c.op("describe")
	c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
		return to.DescribeTopic(ctx, c.topic)
	})
	return result.NextOffset
}
