// Package oteltopiq makes the Go client of topiq tell OpenTelemetry of the messages that it sends and handles:
//
//	c, err := client.New(url, client.WithTracer(oteltopiq.New()))
//
// The spans are those of the semantic conventions for messaging:
//
//   - "send TOPIC", of the kind producer, for each message, from Send until it is known to be stored. It is a child
//     of the span in the context of Send, and its context goes with the message, in the headers traceparent and
//     tracestate of the W3C. The broker stores them as they are, and does not compare them when a message is
//     repeated (P4).
//   - "produce TOPIC", of the kind client, for each attempt of a request, which holds the messages of many. It is a
//     child of the first sampled message, with links to the others; the broker's span is a child of it.
//   - "process TOPIC", of the kind consumer, for each message that the handler of Consumer.Run gets. It is a child of
//     the message's own span, so that one trace leads from Send to the handler: a handler gets one message, and a
//     message one handler for each consumer, so a tree tells the truth. If the context of Run has a span as well, there
//     is a link to it.
//
// A message that has a traceparent already keeps it; its span of sending then has a link to it. Baggage is not sent: it
// would be stored with the message, and compared.
package oteltopiq

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/topiq/topiq/client"
)

// scope is the name under which the spans are found.
const scope = "github.com/topiq/topiq/client/oteltopiq"

const (
	// maxLinks bounds the links of the span of a request, as the SDK does by default.
	maxLinks = 128
	// maxHeaders is how many headers a message may have by default. One that would have more for its context goes
	// without: to be refused for it would be worse.
	maxHeaders = 32
)

// Tracer is a client.Tracer for OpenTelemetry. It is safe for concurrent use.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TraceContext
}

var _ client.Tracer = (*Tracer)(nil)

// Option configures a [Tracer].
type Option func(*config)

type config struct{ provider trace.TracerProvider }

// WithTracerProvider makes the spans with a provider in place of otel.GetTracerProvider.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(c *config) { c.provider = provider }
}

// New returns a tracer for client.WithTracer.
func New(options ...Option) *Tracer {
	c := config{provider: otel.GetTracerProvider()}
	for _, o := range options {
		o(&c)
	}
	return &Tracer{tracer: c.provider.Tracer(scope)}
}

// span is a span that client ends.
type span struct{ trace.Span }

// End implements client.Span.
func (s span) End(err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
		s.SetAttributes(semconv.ErrorType(err))
	}
	s.Span.End()
}

// Send implements client.Tracer.
func (t *Tracer) Send(ctx context.Context, topic string, headers map[string]string) client.Span {
	carrier := propagation.MapCarrier(headers)
	nowhere := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	own := trace.SpanContextFromContext(t.propagator.Extract(nowhere, carrier))
	ctx, s := t.tracer.Start(ctx, "send "+topic, trace.WithSpanKind(trace.SpanKindProducer),
		describe(topic, "send", semconv.MessagingOperationTypeSend), link(own))
	if _, has := headers["traceparent"]; !has && len(headers)+2 <= maxHeaders {
		t.propagator.Inject(ctx, carrier)
	}
	return span{s}
}

// Produce implements client.Tracer.
func (t *Tracer) Produce(ctx context.Context, topic string, messages []client.Span) (context.Context, client.Span) {
	var parent trace.SpanContext
	var links []trace.Link
	for _, m := range messages {
		s, ok := m.(span)
		if !ok || !s.SpanContext().IsValid() {
			continue
		}
		switch c := s.SpanContext(); {
		case !parent.IsValid():
			parent = c
		case !parent.IsSampled() && c.IsSampled():
			parent, links = c, appendLink(links, parent)
		default:
			links = appendLink(links, c)
		}
	}
	// Not that of ctx: it has come from where the producer was opened.
	ctx = trace.ContextWithSpanContext(ctx, parent)
	ctx, s := t.tracer.Start(ctx, "produce "+topic, trace.WithSpanKind(trace.SpanKindClient),
		describe(topic, "produce", semconv.MessagingOperationTypeSend), trace.WithLinks(links...),
		trace.WithAttributes(semconv.MessagingBatchMessageCount(len(messages))))
	return ctx, span{s}
}

func appendLink(links []trace.Link, to trace.SpanContext) []trace.Link {
	if len(links) == maxLinks {
		return links
	}
	return append(links, trace.Link{SpanContext: to})
}

// Process implements client.Tracer. Programs that read by Poll, Messages or Read call it themselves.
func (t *Tracer) Process(ctx context.Context, m *client.Message) (context.Context, client.Span) {
	around := trace.SpanContextFromContext(ctx)
	nowhere := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	parent := t.propagator.Extract(nowhere, propagation.MapCarrier(m.Headers))
	if !trace.SpanContextFromContext(parent).IsValid() {
		parent, around = ctx, trace.SpanContext{} // nobody has followed it so far
	}
	ctx, s := t.tracer.Start(parent, "process "+m.Topic, trace.WithSpanKind(trace.SpanKindConsumer),
		describe(m.Topic, "process", semconv.MessagingOperationTypeProcess), link(around),
		trace.WithAttributes(attribute.Int64("topiq.message.offset", m.Offset)))
	return ctx, span{s}
}

// Inject implements client.Tracer.
func (t *Tracer) Inject(ctx context.Context, header http.Header) {
	t.propagator.Inject(ctx, propagation.HeaderCarrier(header))
}

// describe is what all spans of messages say.
func describe(topic, name string, kind attribute.KeyValue) trace.SpanStartEventOption {
	return trace.WithAttributes(
		semconv.MessagingSystemKey.String("topiq"), semconv.MessagingDestinationName(topic),
		semconv.MessagingOperationName(name), kind,
	)
}

// link is to a span, if there is one.
func link(to trace.SpanContext) trace.SpanStartOption {
	if !to.IsValid() {
		return trace.WithLinks()
	}
	return trace.WithLinks(trace.Link{SpanContext: to})
}
