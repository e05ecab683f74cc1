package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// batch is the messages of one request. Its body is made once: every attempt sends the very same bytes, for
// under one seq the broker takes only one message (P4).
type batch struct {
	items []*item
	seq   int64 // of the first message; NoSeq for a producer without a name
	body  []byte
}

func (p *Producer) newBatch(items []*item) (*batch, error) {
	b := &batch{items: items, seq: NoSeq}
	head := wire.ProduceRequest{}
	if p.named() {
		b.seq = p.queue.seqOf(items[0])
		head.Epoch, head.Seq = &p.epoch, &b.seq
	}
	var err error
	b.body, err = p.encodeBatch(items, head)
	return b, err
}

// encodeBatch is the body of a request with these messages, and what head has beside them.
func (p *Producer) encodeBatch(items []*item, head wire.ProduceRequest) ([]byte, error) {
	head.Topic, head.ProducerID, head.Incarnation = p.topic, p.id, &p.incarnation
	if p.named() {
		head.ProdName = &p.cfg.name
	}
	messages := make([][]byte, len(items)) // encoded by the goroutines that sent them
	for i, it := range items {
		messages[i] = it.raw
	}
	return produceBody(&head, messages)
}

// produceBody is the body of a request: head, and as its last member the messages, which are encoded.
func produceBody(head *wire.ProduceRequest, messages [][]byte) ([]byte, error) {
	raw, err := encodeJSON(head)
	if err != nil {
		return nil, err
	}
	size := len(raw) + len(`,"messages":[]}`)
	for _, message := range messages {
		size += len(message) + 1
	}
	body := append(make([]byte, 0, size), raw[:len(raw)-1]...)
	body = append(body, `,"messages":[`...)
	for i, message := range messages {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, message...)
	}
	return append(body, `]}`...), nil
}

// check refuses an answer that is not one to this batch.
func (b *batch) check(p *Producer, r *wire.ProduceResult) error {
	if err := answered(r.Status); err != nil {
		return err
	}
	if r.Count != int64(len(b.items)) {
		return fmt.Errorf("%d messages were sent and %d answered", len(b.items), r.Count)
	}
	if r.Incarnation != p.incarnation {
		return fmt.Errorf("the incarnation %q was sent and %q answered", p.incarnation, r.Incarnation)
	}
	if len(r.Ranges) == 0 {
		return nil
	}
	if !p.named() {
		return errors.New("ranges of seq were answered to messages without one")
	}
	next := b.seq
	for _, run := range r.Ranges {
		if run.Seq != next || run.Count < 1 {
			return errors.New("the ranges do not follow each other")
		}
		next += run.Count
	}
	if next != b.seq+r.Count {
		return errors.New("the ranges are not those of the messages sent")
	}
	return nil
}

// results spreads an answer over the messages.
func (b *batch) results(r *wire.ProduceResult) []Result {
	runs := r.Ranges
	if len(runs) == 0 {
		runs = []wire.ProduceRange{{Offset: r.Offset, Count: r.Count}}
	}
	results := make([]Result, 0, len(b.items))
	for _, run := range runs {
		for i := range run.Count {
			one := Result{
				Offset: NoOffset, Seq: NoSeq, Duplicate: r.Duplicate, Durable: Durability(r.Durable),
			}
			if run.Offset != nil {
				one.Offset = *run.Offset + i
			}
			if b.seq != NoSeq {
				one.Seq = b.seq + int64(len(results))
			}
			results = append(results, one)
		}
	}
	return results
}

// attempt sends a batch once.
func (p *Producer) attempt(ctx context.Context, b *batch) (*wire.ProduceResult, error) {
	ctx, end := p.traceProduce(ctx, b.items)
	r, err := exchange(ctx, p.client, operation{name: "produce", changes: true},
		func(ctx context.Context, to *broker) (*http.Response, error) {
			return to.ProduceWithBody(ctx, "application/json", newBody(b.body))
		}, func(r *wire.ProduceResult) error { return b.check(p, r) })
	end(err)
	if err != nil && asError(err).passing {
		p.client.log.WarnContext(ctx, "topiq: produce failed", "topic", p.topic, "error", err)
	}
	return r, err
}

// transmit sends a batch until its outcome is known, or cannot become known. A named producer repeats it
// whatever happened; one without a name only if the attempt certainly stored nothing.
func (p *Producer) transmit(ctx context.Context, b *batch) (*wire.ProduceResult, error) {
	r, err := repeat(ctx, p.client, p.named(), maxInt, func(ctx context.Context) (*wire.ProduceResult, error) {
		return p.attempt(ctx, b)
	})
	if err != nil && ctx.Err() != nil {
		doubt := errors.Is(err, ErrOutcomeUnknown)
		if err = ErrClosed; doubt {
			err = doubtful("produce", ErrClosed)
		}
	}
	return r, err
}
