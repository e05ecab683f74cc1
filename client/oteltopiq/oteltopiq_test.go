package oteltopiq_test

import (
	"context"
	"errors"
	"maps"
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
	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/client/oteltopiq"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// traced is a broker, a client of it, and the spans of both.
type traced struct {
	*client.Client
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer // of the program that uses the client
	own    *oteltopiq.Tracer
}

func serve(t *testing.T) *traced {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	broker := traces.New(provider)
	b := service.NewBroker(memory.New(memory.Config{}), service.Config{Tracer: broker})
	server := httptest.NewServer(broker.Handler(api.NewHandler(b, api.Config{})))
	own := oteltopiq.New(oteltopiq.WithTracerProvider(provider))
	c, err := client.New(server.URL, client.WithTracer(own))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return &traced{Client: c, spans: spans, tracer: provider.Tracer("test"), own: own}
}

// all are the ended spans of a name.
func (s *traced) all(name string) (found []sdktrace.ReadOnlySpan) {
	for _, span := range s.spans.Ended() {
		if span.Name() == name {
			found = append(found, span)
		}
	}
	return found
}

// one is the only ended span of a name. The broker ends its spans after its answer, so it is waited for.
func (s *traced) one(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if found := s.all(name); len(found) == 1 {
			return found[0]
		}
		select {
		case <-deadline:
			var names []string
			for _, span := range s.spans.Ended() {
				names = append(names, span.Name())
			}
			t.Fatalf("not one span %q, but %q", name, names)
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *traced) producer(t *testing.T, options ...client.ProducerOption) *client.Producer {
	t.Helper()
	// The span around the opening has nothing to do with the messages that follow.
	ctx, opening := s.tracer.Start(t.Context(), "opening")
	defer opening.End()
	p, err := s.Producer(ctx, "orders", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
	return p
}

// handle lets a consumer handle messages until handler says that it is enough.
func (s *traced) handle(t *testing.T, handler client.Handler) error {
	t.Helper()
	c, err := s.Consumer(t.Context(), []string{"orders"}, client.Name("billing"), client.Wait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	return c.Run(t.Context(), handler)
}

var errEnough = errors.New("enough")

func childOf(t *testing.T, child, parent sdktrace.ReadOnlySpan) {
	t.Helper()
	if child.Parent().SpanID() != parent.SpanContext().SpanID() || child.SpanContext().TraceID() != parent.SpanContext().TraceID() {
		t.Errorf("%q is not a child of %q", child.Name(), parent.Name())
	}
}

func linked(t *testing.T, from, to sdktrace.ReadOnlySpan) {
	t.Helper()
	if !slices.ContainsFunc(from.Links(), func(l sdktrace.Link) bool { return l.SpanContext.SpanID() == to.SpanContext().SpanID() }) {
		t.Errorf("%q has no link to %q", from.Name(), to.Name())
	}
}

// value is an attribute of a span, as text.
func value(span sdktrace.ReadOnlySpan, key string) string {
	for _, a := range span.Attributes() {
		if a.Key == attribute.Key(key) {
			return a.Value.String()
		}
	}
	return ""
}

// One trace leads from the call of the producer through the commit to the handler of the consumer.
func TestTraceOfOneMessage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.producer(t, client.Name("shop"))
	ctx, order := s.tracer.Start(t.Context(), "order")
	if _, err := p.Send(ctx, client.Message{Value: []byte("Hello"), Headers: map[string]string{"kind": "greeting"}}); err != nil {
		t.Fatal(err)
	}
	order.End()
	var got client.Message
	var inside trace.SpanContext
	if err := s.handle(t, func(ctx context.Context, m client.Message) error {
		got, inside = m, trace.SpanContextFromContext(ctx)
		return errEnough
	}); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}

	send, produce, server := s.one(t, "send orders"), s.one(t, "produce orders"), s.one(t, "POST /producer/produce")
	queue, commit, group, process := s.one(t, "queue"), s.one(t, "commit"), s.one(t, "group append"), s.one(t, "process orders")
	childOf(t, send, s.one(t, "order"))
	childOf(t, produce, send)
	childOf(t, server, produce)
	childOf(t, queue, server)
	childOf(t, commit, server)
	childOf(t, process, send)
	linked(t, group, server)
	linked(t, commit, group)
	if group.Parent().IsValid() {
		t.Error("the group, which may serve many requests, is the child of one")
	}
	if inside.SpanID() != process.SpanContext().SpanID() {
		t.Error("the handler was not called in the context of its span")
	}
	wantHeader := "00-" + send.SpanContext().TraceID().String() + "-" + send.SpanContext().SpanID().String() + "-01"
	if want := map[string]string{"kind": "greeting", "traceparent": wantHeader}; !maps.Equal(got.Headers, want) {
		t.Errorf("the message has the headers %v, want %v", got.Headers, want)
	}
	for span, kind := range map[sdktrace.ReadOnlySpan]trace.SpanKind{
		send: trace.SpanKindProducer, produce: trace.SpanKindClient, server: trace.SpanKindServer,
		queue: trace.SpanKindInternal, commit: trace.SpanKindInternal, process: trace.SpanKindConsumer,
	} {
		if span.SpanKind() != kind {
			t.Errorf("%q is of the kind %s, want %s", span.Name(), span.SpanKind(), kind)
		}
	}
	if queue.EndTime() != commit.StartTime() || commit.StartTime() != group.StartTime() || commit.EndTime() != group.EndTime() {
		t.Error("waiting does not end where the commit begins, or the commit of the request is not that of its group")
	}
	if commit.StartTime().Before(server.StartTime()) || commit.EndTime().After(server.EndTime()) {
		t.Error("the commit is not within the request")
	}
	if value(process, "topiq.message.offset") != "0" || value(process, "messaging.destination.name") != "orders" ||
		value(process, "messaging.system") != "topiq" || value(commit, "topiq.group.messages") != "1" {
		t.Errorf("attributes: %v, %v", process.Attributes(), commit.Attributes())
	}
	// Neither side tells of an error: that of the handler aside, which wanted no more.
	if send.Status().Code == codes.Error || commit.Status().Code == codes.Error || process.Status().Code != codes.Error {
		t.Error("the states of the spans are wrong")
	}
}

// Messages of several traces leave in one request, which belongs to one and has links to the others.
func TestBatchOfSeveralTraces(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if _, err := s.producer(t).SendBatch(t.Context(), []client.Message{client.Text("a"), client.Text("b"), client.Text("c")}); err != nil {
		t.Fatal(err)
	}
	produce, sends := s.one(t, "produce orders"), s.all("send orders")
	if len(sends) != 3 || sends[0].SpanContext().TraceID() == sends[1].SpanContext().TraceID() {
		t.Fatalf("%d spans of sending, want 3 of different traces", len(sends))
	}
	childOf(t, produce, sends[0])
	linked(t, produce, sends[1])
	linked(t, produce, sends[2])
	if len(produce.Links()) != 2 || value(produce, "messaging.batch.message_count") != "3" {
		t.Errorf("links %v, attributes %v", produce.Links(), produce.Attributes())
	}
	commit := s.one(t, "commit")
	childOf(t, commit, s.one(t, "POST /producer/produce"))
	if value(commit, "topiq.group.messages") != "3" {
		t.Errorf("attributes of the commit: %v", commit.Attributes())
	}
}

// A context that the program itself has put into a message stays there.
func TestGivenContextStays(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, err := s.producer(t).Send(t.Context(), client.Message{Headers: map[string]string{"traceparent": given}}); err != nil {
		t.Fatal(err)
	}
	page, err := s.Read(t.Context(), "orders", client.ReadOptions{From: client.Beginning})
	if err != nil {
		t.Fatal(err)
	}
	if got := page.Messages[0].Headers["traceparent"]; got != given {
		t.Errorf("the message has the context %s, want %s", got, given)
	}
	send := s.one(t, "send orders")
	if len(send.Links()) != 1 || send.Links()[0].SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the span has the links %v, want one to the given context", send.Links())
	}
}

// A message that has no room for its context is sent without.
func TestMessageWithoutRoom(t *testing.T) {
	t.Parallel()
	s := serve(t)
	headers := map[string]string{}
	for i := range 31 {
		headers[strings.Repeat("x", i+1)] = ""
	}
	if _, err := s.producer(t).Send(t.Context(), client.Message{Headers: headers}); err != nil {
		t.Fatal(err)
	}
	if len(headers) != 31 {
		t.Error("the headers of the caller were changed")
	}
	if err := s.handle(t, func(context.Context, client.Message) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if process := s.one(t, "process orders"); process.Parent().IsValid() {
		t.Error("the handler continues a trace that the message cannot have told of")
	}
}

// A message that is refused, and one that was never sent, end their spans with the error.
func TestFailedSend(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := s.producer(t)
	if _, err := p.Send(t.Context(), client.Text("\xff")); !errors.Is(err, client.ErrInvalidRequest) {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), client.Text(strings.Repeat("x", 2<<20))); !errors.Is(err, client.ErrMessageTooLarge) {
		t.Fatal(err)
	}
	for _, send := range s.all("send orders") {
		if send.Status().Code != codes.Error || value(send, "error.type") == "" {
			t.Errorf("a send that failed has the status %v", send.Status())
		}
	}
	if n := len(s.all("send orders")); n != 2 {
		t.Errorf("%d spans, want 2", n)
	}
}

// Programs that read by themselves follow a message as the handler of Run does.
func TestProcessByHand(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if _, err := s.producer(t).Send(t.Context(), client.Text("Hello")); err != nil {
		t.Fatal(err)
	}
	around, batch := s.tracer.Start(t.Context(), "batch")
	page, err := s.Read(around, "orders", client.ReadOptions{From: client.Beginning})
	if err != nil {
		t.Fatal(err)
	}
	_, span := s.own.Process(around, &page.Messages[0])
	span.End(nil)
	batch.End()
	process := s.one(t, "process orders")
	childOf(t, process, s.one(t, "send orders"))
	linked(t, process, s.one(t, "batch"))
	childOf(t, s.one(t, "GET /topics/{topic}/messages"), s.one(t, "batch"))
}

// What the tracer injects is in the headers of requests alone.
func TestInject(t *testing.T) {
	t.Parallel()
	s := serve(t)
	header := http.Header{}
	s.own.Inject(t.Context(), header)
	if len(header) != 0 {
		t.Errorf("headers of no span: %v", header)
	}
	ctx, span := s.tracer.Start(t.Context(), "call")
	defer span.End()
	s.own.Inject(ctx, header)
	if !strings.Contains(header.Get("Traceparent"), span.SpanContext().SpanID().String()) {
		t.Errorf("headers of a span: %v", header)
	}
}
