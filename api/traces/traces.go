// Package traces makes spans of OpenTelemetry of what a broker does: one for each request, as net/http sees it,
// and for those that produce or dequeue how long they waited for their group and how long its transaction took.
//
// One transaction serves many requests (P7), so it is the child of none of them: the span of a group has a link to
// each request that it was for, and each of these has a span "commit" with a link to that of the group.
//
// Spans name operations, topics and codes. They have neither messages nor headers, tokens nor query strings in them.
package traces

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/topiq/topiq/service"
)

// scope is the name under which the spans are found.
const scope = "github.com/topiq/topiq/api/traces"

// maxLinks bounds the links of the span of a group, as the SDK does by default.
const maxLinks = 128

// Traces makes the spans of one broker. Its methods are safe for concurrent use.
type Traces struct {
	provider trace.TracerProvider
	tracer   trace.Tracer
}

var _ service.Tracer = (*Traces)(nil)

// New makes spans with a provider, whose sampler decides which requests have any.
func New(provider trace.TracerProvider) *Traces {
	return &Traces{provider: provider, tracer: provider.Tracer(scope)}
}

// Handler puts a span around each request that next, the handler of package api, answers. It is a child of the one
// that the header traceparent names. The requests of load balancers and of Prometheus, and the files of /docs, have
// none. The name is the operation's, such as "GET /topics/{topic}"; of what is no operation it is the method.
func (t *Traces) Handler(next http.Handler) http.Handler {
	return otelhttp.NewHandler(described{next}, "",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()), // there is /metrics
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(worthwhile),
		otelhttp.WithSpanNameFormatter(spanName),
	)
}

// worthwhile reports whether a request is to have a span.
func worthwhile(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics", "/docs":
		return false
	}
	return !strings.HasPrefix(r.URL.Path, "/docs/")
}

// spanName is the name of a span. The handler sets the pattern once it knows it, and otelhttp then asks again.
func spanName(_ string, r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return knownMethod(r.Method)
}

// knownMethod keeps what strangers make up out of the names of spans.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "HTTP"
}

// described corrects what otelhttp says of a request.
type described struct{ next http.Handler }

// ServeHTTP implements http.Handler.
func (d described) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	span := trace.SpanFromContext(r.Context())
	if !span.IsRecording() {
		d.next.ServeHTTP(w, r)
		return
	}
	defer func() {
		if _, route, ok := strings.Cut(r.Pattern, " "); ok {
			span.SetAttributes(semconv.HTTPRoute(route))
			return
		}
		// Nobody knows what a stranger has put into an address that is none of ours.
		span.SetAttributes(semconv.URLPath(""))
	}()
	// X-Forwarded-For is what the client claims.
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		span.SetAttributes(semconv.ClientAddress(host))
	}
	d.next.ServeHTTP(w, r)
}

// followed is a request that waits for its group.
type followed struct {
	span  trace.SpanContext
	topic string
	// since is when it began to wait: when it joined the queue, or when its last transaction ended. Only the lane
	// changes it.
	since time.Time
}

// Follow implements service.Tracer. Requests that are not sampled are not followed.
func (t *Traces) Follow(ctx context.Context, topic service.TopicName) service.Followed {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return nil
	}
	return &followed{span: span.SpanContext(), topic: string(topic), since: time.Now()}
}

// Committed implements service.Tracer: it makes the span of the group, and the two of each request in it.
func (t *Traces) Committed(g service.Group, began time.Time, requests []service.Followed) {
	ended := began.Add(g.Took)
	links := make([]trace.Link, 0, min(len(requests), maxLinks))
	for _, r := range requests {
		if f, ok := r.(*followed); ok && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: f.span})
		}
	}
	_, group := t.tracer.Start(context.Background(), "group "+string(g.Work),
		trace.WithNewRoot(), trace.WithLinks(links...), trace.WithTimestamp(began), trace.WithAttributes(attributes(g)...))
	fail(group, g.Err)
	group.End(trace.WithTimestamp(ended))
	for _, r := range requests {
		if f, ok := r.(*followed); ok {
			t.committed(f, g, group.SpanContext(), began)
			f.since = ended
		}
	}
}

// attributes say what a transaction was for.
func attributes(g service.Group) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int("topiq.group.requests", g.Requests),
		attribute.Int("topiq.group.messages", g.Messages),
		attribute.Int64("topiq.group.bytes", g.Bytes),
	}
}

// committed makes the spans of one request: how long it waited, and the transaction. The latter says itself what else
// was in the group, whose own span may not be sampled.
func (t *Traces) committed(f *followed, g service.Group, group trace.SpanContext, began time.Time) {
	ctx := trace.ContextWithSpanContext(context.Background(), f.span)
	topic := trace.WithAttributes(semconv.MessagingDestinationName(f.topic))
	_, wait := t.tracer.Start(ctx, "queue", trace.WithTimestamp(f.since), topic)
	wait.End(trace.WithTimestamp(began))
	options := []trace.SpanStartOption{trace.WithTimestamp(began), topic, trace.WithAttributes(attributes(g)...)}
	if group.IsSampled() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: group}))
	}
	_, commit := t.tracer.Start(ctx, "commit", options...)
	fail(commit, g.Err)
	commit.End(trace.WithTimestamp(began.Add(g.Took)))
}

// fail marks the span of a transaction that has failed. Its message may quote what was stored, so only its code is told.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	code := string(service.CodeOf(err))
	span.SetStatus(codes.Error, code)
	span.SetAttributes(semconv.ErrorTypeKey.String(code))
}
