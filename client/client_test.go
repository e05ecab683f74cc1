package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// hangUp reads the request and then closes the connection without an answer.
func hangUp(t *testing.T, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	_, _ = io.Copy(io.Discard, r.Body)
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		t.Error("cannot hijack")
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.Close()
}

// Go's transport repeats a request that fails on a reused connection if it thinks that it may. A produce that
// was written must not be repeated, and a read may be.
func TestTransportDoesNotRepeatAProduce(t *testing.T) {
	t.Parallel()
	var produces, infos atomic.Int32
	f := newFake("orders")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == producePath && produces.Add(1) == 2:
			hangUp(t, w, r)
		case r.URL.Path == "/info" && infos.Add(1) == 1:
			hangUp(t, w, r)
		case r.URL.Path == "/info":
			writeJSON(w, http.StatusOK, wire.InfoResult{Status: "success"})
		default:
			f.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	c, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p := openProducer(t, c, "orders")
	if _, err := p.Send(t.Context(), Text("a")); err != nil { // leaves an idle connection
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), Text("b")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("Send: %v", err)
	}
	if n := produces.Load(); n != 2 {
		t.Errorf("%d requests for 2 messages", n)
	}
	if _, err := c.Info(t.Context()); err != nil {
		t.Errorf("Info: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Where nobody listens, nothing was sent: a call that may not be repeated blindly is repeated, and its error
// leaves no doubt.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(server.URL, WithRetry(Retry{Attempts: 2, Base: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	err = c.CreateTopic(t.Context(), "x")
	if e := asError(err); errors.Is(err, ErrOutcomeUnknown) || !e.Temporary() || e.Status != 0 {
		t.Errorf("%v", err)
	}
}

// A redirect is not followed, with the default transport or with the caller's.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	for _, opts := range [][]Option{nil, {WithHTTPClient(server.Client())}} {
		c, err := New(server.URL, opts...)
		if err != nil {
			t.Fatal(err)
		}
		requests.Store(0)
		if err := c.CreateTopic(t.Context(), "x"); !errors.Is(err, ErrOutcomeUnknown) || asError(err).Status != 307 {
			t.Errorf("%v", err)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
		_ = c.Close()
	}
}

func TestRequestHeadersAndPath(t *testing.T) {
	t.Parallel()
	var got *http.Request
	c, err := New("http://broker.test/prefix", WithToken("secret"), WithUserAgent("me"),
		WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r
			rec := httptest.NewRecorder()
			writeJSON(rec, http.StatusOK, wire.HealthResult{Status: "success"})
			return rec.Result(), nil
		})}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.URL.Path != "/prefix/healthz" || got.Header.Get("User-Agent") != "me" ||
		got.Header.Get("Authorization") != "Bearer secret" || got.Header.Get("Idempotency-Key") != "" {
		t.Errorf("%s %v", got.URL, got.Header)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Each option that cannot work is refused with the name of what is wrong.
func TestOptionsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := connect(t, newFake("orders"), nil)
	produce := func(opts ...ProducerOption) error {
		_, err := c.Producer(ctx, "orders", opts...)
		return err
	}
	consume := func(opts ...ConsumerOption) error {
		_, err := c.Consumer(ctx, []string{"orders"}, opts...)
		return err
	}
	client := func(url string, opts ...Option) error {
		_, err := New(url, opts...)
		return err
	}
	_, noTopic := c.Consumer(ctx, nil)
	_, twice := c.Consumer(ctx, []string{"a", "a"})
	_, badTopic := c.Producer(ctx, "a/b")
	const url = "http://broker.test"
	for i, err := range []error{
		client("broker.test:80"), client("ftp://broker.test"), client("http://"), client(url + "?a=b"),
		client("http://me:pw@broker.test"), client("http://a b"),
		client(url, WithTimeout(0)), client(url, WithLogger(nil)), client(url, WithRetry(Retry{Attempts: -1})),
		client(url, WithRetry(Retry{Base: time.Hour, Max: time.Second})),
		produce(Name("a b")), produce(MaxTimeout(-1)), produce(Linger(-1)), produce(MaxBatchMessages(0)),
		produce(MaxBatchMessages(10_001)), produce(MaxBatchBytes(0)), produce(MaxBuffered(0, 1)),
		consume(Name(".")), consume(Timeout(-1)), consume(PollTime(-1)), consume(PollTimeAfterError(-1)),
		consume(Wait(61 * time.Second)), consume(Wait(time.Millisecond)), consume(MaxMessages(-1)), consume(MaxBytes(-1)),
		consume(From("middle")), consume(From(At(-1))), consume(Offsets(map[string]Position{"other": {}})),
		consume(Offsets(map[string]Position{"orders": {Offset: -1}})),
		noTopic, twice, badTopic,
	} {
		if !errors.Is(err, ErrInvalidRequest) || asError(err).Field == "" {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

// The SDK drags in neither the server nor a database (layering rule of the project).
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		own, isOwn := strings.CutPrefix(dep, "github.com/topiq/topiq/")
		if isOwn && own != "client" && own != "gen/wire" && own != "gen/wireclient" {
			t.Errorf("it depends on %s", dep)
		}
		for _, foreign := range []string{"labstack/echo", "jackc/pgx", "getkin/kin-openapi", "sqlite", "go.opentelemetry.io"} {
			if strings.Contains(dep, foreign) || dep == "database/sql" {
				t.Errorf("it depends on %s", dep)
			}
		}
	}
}

func TestRetryAfterForms(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "soon": 0, "99999999999999999999": 0,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
	e := &Error{RetryAfter: time.Hour}
	r, err := Retry{}.withDefaults()
	if err != nil || r.pause(1, e) > maxRetryAfter+r.Base {
		t.Errorf("%s, %v", r.pause(1, e), err)
	}
	for failed := range 100 {
		if d := r.pause(failed+1, &Error{}); d > r.Max || d < r.Base/2 {
			t.Errorf("after %d: %s", failed+1, d)
		}
	}
}

// A call that a context ends returns the error of the context, also if it was cancelled with a cause.
func TestContextWithACause(t *testing.T) {
	t.Parallel()
	cause := errors.New("the reason")
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, hang, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		err := c.CreateTopic(ctx, "x")
		if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Error(err)
		}
	})
}

// A context that ended before a call leaves no doubt: nothing was sent.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	c, l := connect(t, newFake("orders"), nil)
	p := openProducer(t, c, "orders")
	s := openConsumer(t, c, []string{"orders"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(l.to(producePath)) + len(l.to(consumePath))
	_, sendErr := p.Send(ctx, Text("x"))
	_, pollErr := s.Poll(ctx)
	_, infoErr := c.Info(ctx)
	for _, err := range []error{sendErr, pollErr, infoErr, c.CreateTopic(ctx, "x"), s.Run(ctx, nil)} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
			t.Error(err)
		}
	}
	if after := len(l.to(producePath)) + len(l.to(consumePath)); after != before {
		t.Errorf("%d requests", after-before)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(p.NextSeq(), p.Epoch(), p.LastOffset()) != "-1 -1 -1" {
		t.Error("a producer without a name has neither seq nor epoch")
	}
}
