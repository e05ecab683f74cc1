package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// Flush waits until every message sent before has its outcome, also those that were under way when the ctx of
// their Send ended. It cuts Linger short.
//
// Errors: that of ctx; the one that stopped the producer; and the first one that no Send could return, because
// its ctx had ended: that message was refused, or its outcome stays unknown. This one is told once, by Flush or
// by Close. Without an error, what was under way is stored, unless its own Send tells otherwise.
func (p *Producer) Flush(ctx context.Context) error {
	deliveries, end := p.queue.flush()
	defer end()
	for _, d := range deliveries {
		select {
		case <-d.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := p.queue.failure(); err != nil {
		return err
	}
	return p.queue.claim()
}

// Close sends what is waiting and ends the producer. If ctx ends first, the rest is given up: a Send whose
// message was under way returns [ErrOutcomeUnknown], the others [ErrClosed]. A producer without a name is
// unregistered; a named one keeps its session, so that nothing but a new session ends it. Calling Close
// again is allowed. Errors: as [Producer.Flush].
func (p *Producer) Close(ctx context.Context) error {
	p.queue.close()
	var err error
	select {
	case <-p.ended:
	case <-ctx.Done():
		err = ctx.Err()
		p.cancel()
		<-p.ended
	}
	p.closeOnce.Do(func() {
		p.cancel()
		p.client.untrack(p)
		if !p.named() && err == nil {
			p.unregister(ctx)
		}
	})
	if failure := p.queue.failure(); failure != nil && !errors.Is(failure, ErrClosed) {
		return failure
	}
	if err != nil {
		return err
	}
	return p.queue.claim()
}

// unregister is a courtesy: what is left of a producer without a name is one row.
func (p *Producer) unregister(ctx context.Context) {
	request := wire.UnregisterProducerRequest{Topic: p.topic, ProducerID: p.id}
	_, err := exchange(ctx, p.client, operation{name: "unregister producer", changes: true},
		func(ctx context.Context, to *broker) (*http.Response, error) {
			return to.UnregisterProducer(ctx, request)
		},
		func(r *wire.UnregisterProducerResult) error { return answered(r.Status) })
	if err != nil {
		p.client.log.DebugContext(ctx, "topiq: a producer stays registered", "topic", p.topic, "error", err)
	}
}

// abandon ends the producer as if the process had died.
func (p *Producer) abandon() {
	p.queue.close()
	p.cancel()
	<-p.ended
}
