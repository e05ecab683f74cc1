package traces_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/traces"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns a handler with spans, and these.
func serve(t *testing.T, sampler sdktrace.Sampler) (http.Handler, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tr := traces.New(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler)))
	b := service.NewBroker(memory.New(memory.Config{}), service.Config{Tracer: tr})
	t.Cleanup(func() { _ = b.Close(context.WithoutCancel(t.Context())) })
	return tr.Handler(api.NewHandler(b, api.Config{})), spans
}

func call(t *testing.T, h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func value(span sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, a := range span.Attributes() {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// Spans are named after the operation, and tell neither tokens, bodies and queries nor addresses that clients claim.
func TestSpansOfRequests(t *testing.T) {
	t.Parallel()
	h, spans := serve(t, sdktrace.AlwaysSample())
	secret := []string{
		"Authorization", "Bearer tpq_SECRET", "X-Forwarded-For", "203.0.113.99",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for _, c := range []struct{ method, path, body, name, route string }{
		{"POST", "/topics", `{"name":"orders"}`, "POST /topics", "/topics"},
		{"GET", "/topics/orders?x=SECRET", "", "GET /topics/{topic}", "/topics/{topic}"},
		{"POST", "/producer/register", `{"topic":"orders","prod_name":"SECRET"}`, "POST /producer/register", "/producer/register"},
		{"GET", "/nowhere/SECRET", "", "GET", ""},
		{"SECRET", "/topics", "", "HTTP", ""},
	} {
		before := len(spans.Ended())
		call(t, h, c.method, c.path, c.body, secret...)
		ended := spans.Ended()[before:]
		if len(ended) != 1 {
			t.Errorf("%s %s: %d spans, want 1", c.method, c.path, len(ended))
			continue
		}
		span := ended[0]
		if span.Name() != c.name || value(span, "http.route") != c.route || span.SpanKind() != trace.SpanKindServer {
			t.Errorf("%s %s: the span %q of the route %q", c.method, c.path, span.Name(), value(span, "http.route"))
		}
		if span.SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s %s: the span is not in the trace of the client", c.method, c.path)
		}
		for _, a := range span.Attributes() {
			text := fmt.Sprint(a.Key, "=", a.Value.String())
			if a.Key != "http.request.method_original" && strings.Contains(text, "SECRET") || strings.Contains(text, "203.0.113") {
				t.Errorf("%s %s: the span tells %s", c.method, c.path, text)
			}
		}
	}
}

func TestWhatHasNoSpans(t *testing.T) {
	t.Parallel()
	h, spans := serve(t, sdktrace.AlwaysSample())
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css"} {
		call(t, h, "GET", path, "")
	}
	if n := len(spans.Started()); n != 0 {
		t.Errorf("%d spans, want none", n)
	}
}

// A request that is not sampled is not followed: neither it nor its commit has a span.
func TestNotSampled(t *testing.T) {
	t.Parallel()
	h, spans := serve(t, sdktrace.ParentBased(sdktrace.NeverSample()))
	produce(t, h)
	if n := len(spans.Started()); n != 0 {
		t.Errorf("%d spans, want none", n)
	}
	// One that its client has sampled is, also where the group is not.
	produce(t, h, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	var names []string
	for _, span := range spans.Ended() {
		names = append(names, span.Name())
		if len(span.Links()) > 0 {
			t.Errorf("%q has a link to a span that nobody keeps", span.Name())
		}
	}
	for _, want := range []string{"POST /producer/produce", "queue", "commit"} {
		if !slices.Contains(names, want) {
			t.Errorf("the spans are %q, want also %q", names, want)
		}
	}
}

func produce(t *testing.T, h http.Handler, headers ...string) {
	t.Helper()
	registered := call(t, h, "POST", "/producer/register", `{"topic":"orders"}`, headers...)
	_, id, _ := strings.Cut(registered.Body.String(), `"producer_id":`)
	id = id[:strings.IndexAny(id, ",}")]
	if w := call(t, h, "POST", "/producer/produce", `{"topic":"orders","producer_id":`+id+`,"message":"Hello"}`, headers...); w.Code != http.StatusOK {
		t.Fatal(w.Body.String())
	}
}

// A message without a context of its own is not given that of its request: what was sent is what is stored.
func TestMessagesAreLeftAlone(t *testing.T) {
	t.Parallel()
	h, _ := serve(t, sdktrace.AlwaysSample())
	produce(t, h, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	stored := call(t, h, "GET", "/topics/orders/messages?offset=0", "").Body.String()
	if !strings.Contains(stored, `"message":"Hello"`) || strings.Contains(stored, "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("the message is stored as %s", stored)
	}
}

// A transaction that fails is told by its code, and the next attempt waits from there on.
func TestFailedGroup(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tr := traces.New(provider)
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	followed := []service.Followed{tr.Follow(ctx, "orders")}
	began := time.Now()
	tr.Committed(service.Group{
		Work: service.WorkAppend, Requests: 1, Took: time.Second, Err: service.ErrUnavailable.Because(errors.New("SECRET")),
	}, began, followed)
	tr.Committed(service.Group{Work: service.WorkAppend, Requests: 1, Took: time.Second}, began.Add(3*time.Second), followed)
	request.End()

	var failed, waited int
	for _, span := range spans.Ended() {
		if strings.Contains(fmt.Sprint(span.Attributes(), span.Status(), span.Events()), "SECRET") {
			t.Errorf("%q tells what has failed", span.Name())
		}
		if span.Status().Code == codes.Error && value(span, "error.type") == "unavailable" {
			failed++
		}
		if span.Name() == "queue" && span.StartTime().Equal(began.Add(time.Second)) && span.EndTime().Equal(began.Add(3*time.Second)) {
			waited++
		}
	}
	if failed != 2 || waited != 1 {
		t.Errorf("%d spans have failed and %d have waited for the second attempt, want 2 and 1", failed, waited)
	}
	if tr.Follow(t.Context(), "orders") != nil {
		t.Error("a request without a span is followed")
	}
}
