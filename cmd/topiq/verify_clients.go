package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/topiq/topiq/client"
)

// producing is one producer at work on one topic.
type producing struct {
	session  *session
	producer *client.Producer
	seed     uint64
	pace     pace
}

// maxTogether is how many messages go with one request at most: enough that requests of one and of
// several messages are both common.
const maxTogether = 4

// run sends all lines of the session. It stops at the first that is not stored: the seq of those
// behind it would no longer be their line.
func (p *producing) run(ctx context.Context) {
	err := p.send(ctx)
	if closeErr := p.producer.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil && ctx.Err() == nil {
		p.session.problem = oneLine(err)
	}
}

func (p *producing) send(ctx context.Context) error {
	s := p.session
	for s.sent < s.planned {
		if err := p.pace.wait(ctx); err != nil {
			return err
		}
		first := s.sent
		messages := make([]client.Message, min(1+p.pace.random.IntN(maxTogether), s.planned-first))
		for i := range messages {
			messages[i] = client.Text(tag{s.topic, s.producer, first + i}.text(p.seed))
		}
		s.sent += len(messages) // from here on they may be stored, whatever the answer is
		results, err := p.producer.SendBatch(ctx, messages)
		for i, r := range results {
			if r.Err == nil {
				s.acks = append(s.acks, ack{first + i, r.Offset, r.Duplicate})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// consuming is one consumer at work on its topics.
type consuming struct {
	consumer *client.Consumer
	prefix   string
	views    []*view
	ends     []*ending // of the topics of the views
	pace     pace
	patience time.Duration
	back     func() time.Time // when the broker was there again
}

// newConsumer registers a consumer.
func (w *workload) newConsumer(ctx context.Context, plan consumerPlan, options ...client.ConsumerOption) (*consuming, error) {
	c := &consuming{prefix: w.prefix, pace: w.pace(len(w.consumers)), patience: w.patience, back: w.back}
	names := make([]string, len(plan.topics))
	for i, label := range plan.topics {
		names[i] = w.prefix + label
		c.views = append(c.views, &view{topic: label, reader: plan.name})
		c.ends = append(c.ends, w.ended[label])
	}
	var err error
	c.consumer, err = w.broker.Consumer(ctx, names, options...)
	return c, err
}

// run gets messages until all topics have ended and all that they hold was got.
func (c *consuming) run(ctx context.Context) {
	err := c.read(ctx)
	if closeErr := c.consumer.Close(ctx); err == nil {
		err = closeErr
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	at := c.views[0] // unless another tells more
	for i, v := range c.views {
		if !c.isOver(i) {
			at = v
		}
	}
	at.problem = oneLine(err)
}

// glance is how long a consumer waits for messages before it looks whether there are to be any.
const glance = 250 * time.Millisecond

func (c *consuming) read(ctx context.Context) error {
	since := time.Now() // of the last message, or of when more of them were not known to be there
	for {
		over, known := c.isAllOver()
		if over {
			return nil
		}
		if !known {
			since = time.Now()
		}
		// A broker that is killed again and again has no time to answer: patience begins when it is back.
		if quiet := min(time.Since(since), time.Since(c.back())); quiet > c.patience {
			return fmt.Errorf("there are more messages, but none came for %s", quiet.Round(time.Second))
		}
		if err := c.pace.wait(ctx); err != nil {
			return err
		}
		messages, err := c.poll(ctx)
		if err != nil {
			return err
		}
		if len(messages) > 0 {
			since = time.Now()
		}
		c.record(messages)
	}
}

// poll waits for messages for a moment. The poll itself goes on in the background.
func (c *consuming) poll(ctx context.Context) ([]client.Message, error) {
	moment, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	messages, err := c.consumer.Poll(moment)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return messages, err
}

func (c *consuming) record(messages []client.Message) {
	for i := range messages {
		label := strings.TrimPrefix(messages[i].Topic, c.prefix)
		for _, v := range c.views {
			if v.topic == label {
				v.seen = append(v.seen, sightingOf(messages[i]))
			}
		}
	}
}

// isAllOver reports whether nothing is left to be got, and whether it is known what there is.
func (c *consuming) isAllOver() (over, known bool) {
	over, known = true, true
	for i, end := range c.ends {
		over = over && c.isOver(i)
		select {
		case <-end.known:
		default:
			known = false
		}
	}
	return over, known
}

// isOver reports whether a topic has ended and all of it was got.
func (c *consuming) isOver(i int) bool {
	select {
	case <-c.ends[i].known:
	default:
		return false
	}
	seen, end := c.views[i].seen, c.ends[i].offset
	return end == 0 || len(seen) > 0 && seen[len(seen)-1].offset >= end-1
}
