package httpproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/topiq/topiq/torture/httpproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// world is a server that notes down what it gets, reached through a proxy.
type world struct {
	*testing.T
	proxy  *httpproxy.Proxy
	client *http.Client
	got    chan string // method, path and body of each request, when it is answered
	gone   chan string // the same of those whose client left first
	calls  atomic.Int64
	gate   chan struct{} // if not nil, each answer waits for it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, got: make(chan string, 100), gone: make(chan string, 100)}
	server := httptest.NewServer(http.HandlerFunc(w.handle))
	proxy, err := httpproxy.Start(t.Context(), server.URL, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = proxy
	transport := &http.Transport{}
	w.client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := proxy.Close(); err != nil {
			t.Errorf("close the proxy: %v", err)
		}
		server.Close()
	})
	return w
}

// handle answers with the number of the request and enough text to be cut.
func (w *world) handle(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.gone <- err.Error()
		return
	}
	line := fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)
	if w.gate != nil {
		select {
		case <-w.gate:
		case <-r.Context().Done():
			w.gone <- line
			return
		}
	}
	n := w.calls.Add(1)
	w.got <- line
	_, _ = fmt.Fprintf(rw, "%d %s", n, strings.Repeat("x", 100))
}

// do sends one request on a connection that was used before, and returns the first word of the answer.
// A client that lost its connection must not repeat by itself, which POST without GetBody ensures.
func (w *world) do(method, uri, body string) (string, error) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.proxy.URL()+uri, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		w.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	resp, err := w.client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	word, _, _ := strings.Cut(string(text), " ")
	return word, err
}

func (w *world) always(action httpproxy.Action) {
	w.proxy.SetPolicy(func(*rand.Rand, httpproxy.Request) httpproxy.Action { return action })
}

// wants takes requests that arrived at the server.
func (w *world) wants(lines ...string) {
	w.Helper()
	for _, want := range lines {
		select {
		case got := <-w.got:
			if got != want {
				w.Errorf("the server got %q, want %q", got, want)
			}
		case <-time.After(patience):
			w.Fatalf("the server did not get %q", want)
		}
	}
	select {
	case got := <-w.got:
		w.Errorf("the server got %q as well", got)
	default:
	}
}

// TestKinds checks each kind with a POST and a GET, on a connection that is kept alive between.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind    httpproxy.Kind
		answer  string // the number of the request whose answer the client gets, if it gets one
		arrives int
	}{
		{httpproxy.Pass, "1", 1},
		{httpproxy.Drop, "", 0},
		{httpproxy.LoseAnswer, "", 1},
		{httpproxy.CutAnswer, "", 1},
		{httpproxy.Again, "2", 2},
	} {
		for _, call := range []string{"POST /a?b=1 body", "GET /a?b=1 "} {
			method, rest, _ := strings.Cut(call, " ")
			uri, body, _ := strings.Cut(rest, " ")
			t.Run(method+" "+string(row.kind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				if _, err := w.do(http.MethodGet, "/warm", ""); err != nil {
					t.Fatal(err)
				}
				w.wants("GET /warm ")
				w.calls.Store(0)
				w.always(httpproxy.Action{Kind: row.kind})
				got, err := w.do(method, uri, body)
				if (row.answer == "") != (err != nil) || err == nil && got != row.answer {
					t.Errorf("the client got %q, %v, want %q", got, err, row.answer)
				}
				lines := make([]string, row.arrives)
				for i := range lines {
					lines[i] = call
				}
				w.wants(lines...)
				w.always(httpproxy.Action{Kind: httpproxy.Pass})
				if _, err := w.do(http.MethodGet, "/after", ""); err != nil {
					t.Errorf("the next request: %v", err)
				}
				w.wants("GET /after ")
				if c := w.proxy.Counts(); c.Kinds[row.kind] == 0 || c.Requests != 3 || c.Unreachable != 0 {
					t.Errorf("counts %+v", c)
				}
			})
		}
	}
}

// TestCutAnswerArrivesInPart sees the head and half of the body.
func TestCutAnswerArrivesInPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.always(httpproxy.Action{Kind: httpproxy.CutAnswer})
	got, err := w.do(http.MethodPost, "/a", "b")
	if !errors.Is(err, io.ErrUnexpectedEOF) || got != "1" {
		t.Errorf("the client got %q, %v", got, err)
	}
}

// TestCutRequest sees that the server has the whole request, and then that its client has left.
func TestCutRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gate = make(chan struct{})
	w.always(httpproxy.Action{Kind: httpproxy.CutRequest})
	if _, err := w.do(http.MethodPost, "/a", "body"); err == nil {
		t.Error("the client got an answer")
	}
	select {
	case got := <-w.gone:
		if got != "POST /a body" {
			t.Errorf("the server had %q when its client left", got)
		}
	case <-time.After(patience):
		t.Error("the server's client did not leave")
	}
	if c := w.proxy.Counts(); c.Kinds[httpproxy.CutRequest] != 1 {
		t.Errorf("counts %+v", c)
	}
}

// TestTwice lets both copies in before either is answered.
func TestTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gate = make(chan struct{}, 2)
	w.always(httpproxy.Action{Kind: httpproxy.Twice})
	answered := make(chan string, 1)
	go func() {
		got, err := w.do(http.MethodPost, "/a", "body")
		answered <- fmt.Sprint(got, err)
	}()
	w.gate <- struct{}{}
	if got := <-answered; got != "1<nil>" { // while the other copy is still there
		t.Errorf("the client got %q, want the first answer", got)
	}
	w.gate <- struct{}{}
	w.wants("POST /a body")
	// The proxy counts when the other copy was answered.
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for w.proxy.Counts().Kinds[httpproxy.Twice] == 0 {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("the other copy is never counted")
		}
	}
}

// TestDoubledRequestTellsOfSuccess refuses one of two copies, before or after the other succeeds.
func TestDoubledRequestTellsOfSuccess(t *testing.T) {
	t.Parallel()
	for _, kind := range []httpproxy.Kind{httpproxy.Again, httpproxy.Twice} {
		for refused := range int64(2) {
			for _, status := range []int{http.StatusConflict, http.StatusServiceUnavailable} {
				t.Run(fmt.Sprint(kind, refused, status), func(t *testing.T) {
					t.Parallel()
					calls := atomic.Int64{}
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						if calls.Add(1)-1 == refused {
							w.WriteHeader(status)
						}
					}))
					defer server.Close()
					w := newWorld(t)
					if err := w.proxy.SetUpstream(server.URL); err != nil {
						t.Fatal(err)
					}
					w.always(httpproxy.Action{Kind: kind})
					resp, err := w.client.Post(w.proxy.URL(), "text/plain", strings.NewReader("x")) //nolint:noctx // the client has a timeout
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("the client got %d", resp.StatusCode)
					}
				})
			}
		}
	}
}

// TestRefusalOfOneCopyIsNotTheTruth has the other copy answered with an error that tells nothing.
func TestRefusalOfOneCopyIsNotTheTruth(t *testing.T) {
	t.Parallel()
	for _, kind := range []httpproxy.Kind{httpproxy.Again, httpproxy.Twice} {
		calls := atomic.Int64{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusConflict}[calls.Add(1)-1])
		}))
		w := newWorld(t)
		if err := w.proxy.SetUpstream(server.URL); err != nil {
			t.Fatal(err)
		}
		w.always(httpproxy.Action{Kind: kind})
		resp, err := w.client.Post(w.proxy.URL(), "text/plain", strings.NewReader("x")) //nolint:noctx // the client has a timeout
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		server.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: the client got %d", kind, resp.StatusCode)
		}
	}
}

// TestZombie delivers a request only after another one of the same client.
func TestZombie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.always(httpproxy.Action{Kind: httpproxy.Zombie, Delay: time.Hour})
	if _, err := w.do(http.MethodPost, "/a", "old"); err == nil {
		t.Error("the client got an answer")
	}
	w.always(httpproxy.Action{Kind: httpproxy.Pass})
	if _, err := w.do(http.MethodPost, "/a", "new"); err != nil {
		t.Fatal(err)
	}
	w.wants("POST /a new")
	w.proxy.FlushLate()
	if err := w.proxy.WaitLate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wants("POST /a old")
	if c := w.proxy.Counts(); c.Late[http.StatusOK] != 1 || c.Kinds[httpproxy.Zombie] != 1 || c.LateLost != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestEchoComesByItself waits for the delay of a copy.
func TestEchoComesByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.always(httpproxy.Action{Kind: httpproxy.Echo, Delay: 50 * time.Millisecond})
	if got, err := w.do(http.MethodPost, "/a", "body"); err != nil || got != "1" {
		t.Errorf("the client got %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.proxy.WaitLate(ctx); err != nil {
		t.Fatal(err)
	}
	w.wants("POST /a body", "POST /a body")
}

// TestCloseForgetsWhatIsLate returns although a copy was to be delivered in an hour.
func TestCloseForgetsWhatIsLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy, err := httpproxy.Start(t.Context(), w.proxy.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	proxy.SetPolicy(httpproxy.Some(1, httpproxy.Action{Kind: httpproxy.Zombie, Delay: 1e6 * time.Hour}))
	w.proxy, proxy = proxy, w.proxy // do asks the new one
	if _, err := w.do(http.MethodPost, "/a", "body"); err == nil {
		t.Error("the client got an answer")
	}
	if err := w.proxy.Close(); err != nil {
		t.Error(err)
	}
	if got := w.proxy.Counts().LateLost; got != 1 {
		t.Errorf("%d copies were lost, want 1", got)
	}
	w.proxy = proxy
	w.wants()
}

// TestClientThatLeavesIsSeenBehind gives up a long poll.
func TestClientThatLeavesIsSeenBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gate = make(chan struct{})
	w.client.Timeout = 100 * time.Millisecond
	if _, err := w.do(http.MethodGet, "/poll", ""); err == nil {
		t.Error("the client got an answer")
	}
	select {
	case <-w.gone:
	case <-time.After(patience):
		t.Error("the server's client is still there")
	}
}

// TestStreamPassesAsItComes reads a line before the next one is written.
func TestStreamPassesAsItComes(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: x\n")
			_ = http.NewResponseController(w).Flush()
			<-more
		}
	}))
	defer server.Close()
	w := newWorld(t)
	if err := w.proxy.SetUpstream(server.URL); err != nil {
		t.Fatal(err)
	}
	resp, err := w.client.Get(w.proxy.URL()) //nolint:noctx // the client has a timeout
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for range 3 {
		if !lines.Scan() || lines.Text() != "data: x" {
			t.Fatalf("read %q, %v", lines.Text(), lines.Err())
		}
		more <- struct{}{}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the stream does not end: %v", lines.Err())
	}
}

// TestBrokerThatIsAway loses the client's connection, as no broker at all would.
func TestBrokerThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.proxy.SetUpstream("http://"+listener.Addr().String()), listener.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.do(http.MethodPost, "/a", "body"); err == nil {
		t.Error("the client got an answer")
	}
	if c := w.proxy.Counts(); c.Unreachable != 1 || c.Kinds[httpproxy.Pass] != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestShareOfRequests counts on both sides.
func TestShareOfRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.proxy.SetPolicy(httpproxy.Some(0.5, httpproxy.Action{Kind: httpproxy.Drop}, httpproxy.Action{Kind: httpproxy.LoseAnswer}))
	const requests = 80
	failed := int64(0)
	for range requests {
		if _, err := w.do(http.MethodPost, "/a", "body"); err != nil {
			failed++
		}
	}
	c := w.proxy.Counts()
	if c.Requests != requests || c.Faults() != failed || failed == 0 || failed == requests {
		t.Errorf("%d of %d requests failed, counted %+v", failed, requests, c)
	}
	if got := w.calls.Load(); got != requests-c.Kinds[httpproxy.Drop] {
		t.Errorf("the server got %d requests: %+v", got, c)
	}
}
