package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// run sends what is in the queue, one request at a time, until the producer is closed or has failed.
//
// One at a time keeps the order without help of the broker, and it is what makes batches: whatever is sent
// while a request is under way leaves with the next one.
func (p *Producer) run(ctx context.Context) {
	defer close(p.ended)
	defer p.closeOutbox(ctx)
	defer p.queue.end()
	for p.await(ctx) {
		items := p.queue.take(p.cfg.batchMessages, p.cfg.batchBytes)
		if len(items) == 0 {
			continue
		}
		if err := p.keep(items); err != nil {
			p.stop(err)
			p.refuse(items, err)
			continue
		}
		p.deliver(ctx, items)
	}
}

// await waits until it is time for a request. It returns false at the end.
func (p *Producer) await(ctx context.Context) bool {
	var linger <-chan time.Time
	for {
		switch p.queue.fill(p.cfg.batchMessages, p.cfg.batchBytes, p.cfg.linger > 0) {
		case fillEnded:
			return false
		case fillFull:
			return p.pause(ctx)
		case fillSome:
			if linger == nil {
				timer := time.NewTimer(p.cfg.linger)
				defer timer.Stop()
				linger = timer.C
			}
		case fillEmpty:
			linger = nil
		}
		select {
		case <-p.queue.changed:
		case <-linger:
			return p.pause(ctx)
		case <-ctx.Done():
			return false
		}
	}
}

// pause is the random wait that MaxTimeout asks for.
func (p *Producer) pause(ctx context.Context) bool {
	d := p.cfg.maxTimeout
	if d > 0 {
		d = rand.N(d) //nolint:gosec // a spread of load, not a secret
	}
	return sleep(ctx, d) == nil
}

// deliver sends messages and answers those who wait for them.
func (p *Producer) deliver(ctx context.Context, items []*item) {
	b, err := p.newBatch(items)
	var r *wire.ProduceResult
	if err == nil {
		r, err = p.transmit(ctx, b)
		if errors.Is(err, ErrProducerFenced) && errors.Is(err, ErrOutcomeUnknown) {
			r, err = p.lookUp(ctx, b, err)
		}
	}
	if err == nil {
		results := b.results(r)
		p.forget(results)
		p.queue.settle(items, func(i int) Result { return results[i] })
		return
	}
	if p.stops(err) {
		// First the end, then the answers: whoever is answered must not be able to send again.
		p.stop(err)
		p.refuse(items, err)
		return
	}
	if half := len(items) / 2; half > 0 && separable(err) {
		// One message spoiled the request for all. Nothing of it was stored, so its seq are free, and the
		// halves can be sent as requests of their own until the bad message is alone.
		p.deliver(ctx, items[:half])
		if err := p.queue.failure(); err != nil {
			p.refuse(items[half:], err)
			return
		}
		p.deliver(ctx, items[half:])
		return
	}
	if p.cfg.stopAtRefusal {
		p.stop(err)
	}
	p.leaves(items, err)
	p.refuse(items, err)
}

func (p *Producer) refuse(items []*item, err error) {
	p.queue.settle(items, func(i int) Result {
		return Result{Offset: NoOffset, Seq: NoSeq, Err: items[i].explain(err)}
	})
}

// stop ends the producer for good. Later messages were certainly not sent, so they do not inherit a doubt
// about the outcome of the one that failed.
func (p *Producer) stop(err error) {
	if e := asError(err); e.hasCode(wire.FailureCodeOutcomeUnknown) && e.cause != nil {
		err = e.cause
	}
	if e := asError(err); e.unknown {
		certain := *e
		certain.unknown = false
		err = &certain
	}
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("topiq: the producer of topic %s has stopped: %w", p.topic, err)
	}
	p.queue.fail(err)
}

// stops reports whether a producer cannot go on after a failed batch.
func (p *Producer) stops(err error) bool {
	if errors.Is(err, ErrClosed) {
		return true
	}
	// A named producer does not know which seq comes next while a batch is in doubt. It stops rather than
	// guesses; a new session asks the broker (P2).
	if p.named() && errors.Is(err, ErrOutcomeUnknown) {
		return true
	}
	// A message leaves the outbox only if it is itself what the broker refuses.
	if p.outbox != nil && !separable(err) {
		return true
	}
	return asError(err).hasCode(
		wire.FailureCodeProducerFenced, wire.FailureCodeUnknownEpoch, wire.FailureCodeIncarnationChanged,
		wire.FailureCodeSeqGap, wire.FailureCodeSeqReused,
		wire.FailureCodeTopicNotFound, wire.FailureCodeProducerNotFound,
	)
}

// separable reports whether a refusal is about a message rather than about the producer.
func separable(err error) bool {
	return asError(err).hasCode(
		wire.FailureCodeInvalidRequest, wire.FailureCodeMessageTooLarge, wire.FailureCodeRequestTooLarge,
	)
}
