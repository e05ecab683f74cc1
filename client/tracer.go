package client

import (
	"context"
	"maps"
	"net/http"
)

// Tracer follows messages from [Producer.Send] to the handler of [Consumer.Run]. Package oteltopiq has one for
// OpenTelemetry; this package needs nothing of it. Its methods must be safe for concurrent use, and must not block.
type Tracer interface {
	// Send begins the span of one message, in the goroutine that sends it. It may add to the headers, which are
	// those that the message will have, and to none but traceparent and tracestate: all others are compared when a
	// message is repeated (P4).
	Send(ctx context.Context, topic string, headers map[string]string) Span
	// Produce begins the span of one attempt of a request, for messages whose spans Send has begun; those that an
	// [Outbox] had from an earlier life have none. The request is sent in the context that is returned. ctx is not
	// that of any Send.
	Produce(ctx context.Context, topic string, messages []Span) (context.Context, Span)
	// Process begins the span of the handling of a message. The handler is called in the context that is returned.
	Process(ctx context.Context, m *Message) (context.Context, Span)
	// Inject tells the broker of the span that ctx has, if it has one, in the headers of an HTTP request.
	Inject(ctx context.Context, header http.Header)
}

// Span is a piece of work that a [Tracer] follows.
type Span interface {
	// End is called once, with the error of the work.
	End(err error)
}

// WithTracer makes the client tell a tracer of what it sends and handles. The default is none, which costs nothing.
// Messages read by [Consumer.Poll], [Consumer.Messages] and [Client.Read], and those of [Client.Append], are the
// caller's to follow.
func WithTracer(t Tracer) Option {
	return clientOption(func(cfg *clientConfig) { cfg.tracer = t })
}

// traceSends begins the spans of messages, which get the headers of them; nil without a tracer.
func (p *Producer) traceSends(ctx context.Context, messages []Message) ([]Message, []Span) {
	if p.client.tracer == nil {
		return messages, nil
	}
	traced, spans := make([]Message, len(messages)), make([]Span, len(messages))
	for i := range messages {
		traced[i] = messages[i]
		headers := make(map[string]string, len(p.cfg.headers)+len(messages[i].Headers)+2)
		maps.Copy(headers, p.cfg.headers)
		maps.Copy(headers, messages[i].Headers)
		traced[i].Headers = headers
		spans[i] = p.client.tracer.Send(ctx, p.topic, headers)
	}
	return traced, spans
}

// endSends ends the spans of messages with what became of each; err is for all of them where nothing was sent.
func endSends(spans []Span, results []Result, err error) {
	for i, span := range spans {
		if i < len(results) {
			err = results[i].Err
		}
		span.End(err)
	}
}

// traceProduce begins the span of an attempt; the function that it returns ends it.
func (p *Producer) traceProduce(ctx context.Context, items []*item) (context.Context, func(error)) {
	if p.client.tracer == nil {
		return ctx, func(error) {}
	}
	spans := make([]Span, 0, len(items))
	for _, it := range items {
		if it.span != nil {
			spans = append(spans, it.span)
		}
	}
	ctx, span := p.client.tracer.Produce(ctx, p.topic, spans)
	return ctx, span.End
}

// process calls a handler with a message.
func (s *subscription) process(ctx context.Context, m *Message, handle Handler) error {
	if s.client.tracer == nil {
		return handle(ctx, *m)
	}
	ctx, span := s.client.tracer.Process(ctx, m)
	err := handle(ctx, *m)
	span.End(err)
	return err
}
