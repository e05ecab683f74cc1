package httpproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// call is a request that was read whole, and can be sent as often as one likes.
type call struct {
	method, uri string
	header      http.Header
	body        []byte
}

// answer is what a broker has answered, whole. Where it is a stream, its body is still to be read.
type answer struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser
}

// readCall reads a request. Its body is sent with the length it has, however it came.
func readCall(r *http.Request) (call, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("a body of more than %d bytes", maxBody)
	}
	return call{method: r.Method, uri: r.URL.RequestURI(), header: passedOn(r.Header), body: body}, err
}

// passedOn leaves out what is about one connection only.
func passedOn(header http.Header) http.Header {
	header = header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "Expect"} {
		header.Del(name)
	}
	return header
}

// once is a body that Go's transport does not repeat by itself: it has no GetBody, nor is it
// http.NoBody. A GET whose connection turns out to be closed would be sent twice, uncounted.
type once struct{ *bytes.Reader }

func (once) Close() error { return nil }

// send sends a request once and reads the answer.
func (p *Proxy) send(ctx context.Context, c call) (answer, error) {
	p.mu.Lock()
	base := *p.upstream
	p.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, c.method, base.Scheme+"://"+base.Host+c.uri, once{bytes.NewReader(c.body)})
	if err != nil {
		return answer{}, err
	}
	r.Header = c.header.Clone()
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = nil
	}
	r.ContentLength = int64(len(c.body))
	got, err := p.receive(r)
	if err != nil {
		p.count(func(counts *Counts) { counts.Unreachable++ })
		return answer{}, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	return got, nil
}

func (p *Proxy) receive(r *http.Request) (answer, error) {
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: resp.StatusCode, header: passedOn(resp.Header)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		got.stream = resp.Body
		return got, nil
	}
	defer func() { _ = resp.Body.Close() }()
	got.body, err = io.ReadAll(resp.Body)
	return got, err
}

// sendAndHangUp sends a request and closes the connection as soon as all of it was written.
func (p *Proxy) sendAndHangUp(ctx context.Context, c call) error {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	var written error
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		written = info.Err
		hangUp()
	}})
	got, err := p.send(ctx, c)
	if err == nil && got.stream != nil {
		_ = got.stream.Close()
	}
	return written
}
