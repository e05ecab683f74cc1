package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// link is the network between a client and a handler, inside the process. A fault decides about each request.
type link struct {
	handler http.Handler
	next    http.RoundTripper // in place of handler: a real network
	delay   time.Duration     // of each request
	fault   func(r *request) fault

	mu       sync.Mutex
	requests []*request
}

type request struct {
	n    int // 1, 2, … of this path
	path string
	body string
	at   time.Time
}

type fault int

const (
	faultNone     fault = iota
	faultNoDial         // the connection cannot be opened
	faultLost           // the request is lost
	faultReply          // the request is handled, the answer is lost
	faultShort          // the answer is cut short
	fault503            // the broker is overloaded; Retry-After: 7
	fault429            // the broker limits the rate; Retry-After: 3
	fault500            // handled, and then the broker says internal
	fault401            // refused
	faultHang           // nothing happens until the context ends
	faultHTMLPage       // a proxy answers a page, with 502
	fault499            // handled, and then a proxy answers a page, with 499
)

var errReset = errors.New("connection reset by peer")

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	raw := []byte{}
	if r.Body != nil {
		raw, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	l.mu.Lock()
	req := &request{n: 1, path: r.URL.Path, body: string(raw), at: time.Now()}
	for _, earlier := range l.requests {
		if earlier.path == req.path {
			req.n++
		}
	}
	l.requests = append(l.requests, req)
	var kind fault
	if l.fault != nil {
		kind = l.fault(req)
	}
	l.mu.Unlock()
	if err := sleep(r.Context(), l.delay); err != nil {
		return nil, err
	}
	return l.answer(r, raw, kind)
}

func (l *link) answer(r *http.Request, raw []byte, kind fault) (*http.Response, error) {
	rec := httptest.NewRecorder()
	switch kind {
	case faultNoDial:
		return nil, dialError()
	case faultLost:
		return nil, errReset
	case faultHang:
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	case fault503, fault429:
		code, seconds, status := wire.FailureCodeOverloaded, "7", http.StatusServiceUnavailable
		if kind == fault429 {
			code, seconds, status = wire.FailureCodeRateLimited, "3", http.StatusTooManyRequests
		}
		rec.Header().Set("Retry-After", seconds)
		writeJSON(rec, status, refuse(status, code).Failure)
		return rec.Result(), nil
	case fault401:
		writeJSON(rec, http.StatusUnauthorized, refuse(401, wire.FailureCodeUnauthorized).Failure)
		return rec.Result(), nil
	case faultHTMLPage:
		rec.WriteHeader(http.StatusBadGateway)
		_, _ = rec.WriteString("<html>")
		return rec.Result(), nil
	default:
	}
	rsp, err := l.pass(r, raw)
	if err != nil {
		return nil, err
	}
	switch kind {
	case faultReply:
		_ = rsp.Body.Close()
		return nil, errReset
	case fault500:
		_ = rsp.Body.Close()
		writeJSON(rec, http.StatusInternalServerError, refuse(500, wire.FailureCodeInternal).Failure)
		return rec.Result(), nil
	case fault499:
		_ = rsp.Body.Close()
		rec.WriteHeader(499)
		_, _ = rec.WriteString("<html>")
		return rec.Result(), nil
	case faultShort:
		rsp.Body = &shortBody{ReadCloser: rsp.Body, left: 30}
	default:
	}
	return rsp, nil
}

// pass lets the handler, or the server, have the request.
func (l *link) pass(r *http.Request, raw []byte) (*http.Response, error) {
	inner := r.Clone(r.Context())
	inner.Body = io.NopCloser(bytes.NewReader(raw))
	if l.next != nil {
		return l.next.RoundTrip(inner)
	}
	inner.RequestURI = r.URL.RequestURI()
	rec := httptest.NewRecorder()
	l.handler.ServeHTTP(rec, inner)
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	return rec.Result(), nil
}

// shortBody breaks off in the middle.
type shortBody struct {
	io.ReadCloser
	left int
}

func (b *shortBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// to lists the requests to a path.
func (l *link) to(path string) []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.requests), func(r *request) bool { return r.path != path })
}

// connect makes a client that talks to a handler through a link.
func connect(t *testing.T, handler http.Handler, fault func(*request) fault, opts ...Option) (*Client, *link) {
	t.Helper()
	l := &link{handler: handler, fault: fault}
	c, err := New("http://broker.test", append([]Option{WithHTTPClient(&http.Client{Transport: l})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, l
}

// faultsOf makes the first requests to a path fail, in turn.
func faultsOf(path string, faults ...fault) func(*request) fault {
	return func(r *request) fault {
		if r.path == path && r.n <= len(faults) {
			return faults[r.n-1]
		}
		return faultNone
	}
}

func texts(messages []Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Value))
	}
	return strings.Join(all, " ")
}

func numbered(prefix string, n int) []Message {
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Text(fmt.Sprintf("%s%d", prefix, i))
	}
	return messages
}
