package httpproxy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serve handles one request of a client. Life ends when the proxy is closed: it is for what the client does
// not wait for.
//
//nolint:contextcheck // there are two contexts, and each call says which it means
func (p *Proxy) serve(life context.Context, w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		cut(w)
		return
	}
	defer p.working.Done()
	c, err := readCall(r)
	if err != nil {
		cut(w)
		return
	}
	// The context ends when the client leaves: then the broker loses its client as well.
	ctx := r.Context()
	switch action := p.decide(r, c.body); action.Kind {
	case Drop:
		p.did(Drop)
		cut(w)
	case CutRequest:
		if p.sendAndHangUp(ctx, c) == nil {
			p.did(CutRequest)
		}
		cut(w)
	case LoseAnswer:
		p.lose(ctx, w, c)
	case CutAnswer:
		p.cutAnswer(ctx, w, c)
	case Again:
		p.again(ctx, w, c)
	case Twice:
		p.twice(ctx, w, c)
	case Zombie:
		p.later(life, c, action)
		cut(w)
	case Echo:
		p.later(life, c, action)
		got, err := p.send(ctx, c)
		p.reply(w, got, err)
	default:
		got, err := p.send(ctx, c)
		if p.reply(w, got, err) {
			p.did(Pass)
		}
	}
}

// lose waits for the answer and keeps it.
func (p *Proxy) lose(ctx context.Context, w http.ResponseWriter, c call) {
	got, err := p.send(ctx, c)
	if err == nil {
		got.close()
		p.did(LoseAnswer)
	}
	cut(w)
}

// cutAnswer writes the head, with the length of the whole, and half of the body.
func (p *Proxy) cutAnswer(ctx context.Context, w http.ResponseWriter, c call) {
	got, err := p.send(ctx, c)
	if err != nil {
		cut(w)
		return
	}
	got.close()
	conn, ok := hijack(w)
	if !ok {
		return
	}
	defer func() { _ = conn.Close() }() // by FIN: what was written arrives
	head := fmt.Sprintf("HTTP/1.1 %03d %s\r\n", got.status, http.StatusText(got.status))
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	got.header.Set("Content-Length", strconv.Itoa(max(len(got.body), 1)))
	if err := got.header.Write(conn); err != nil {
		return
	}
	if _, err := conn.Write(append([]byte("\r\n"), got.body[:len(got.body)/2]...)); err == nil {
		p.did(CutAnswer)
	}
}

// again sends the request once more after it was answered.
func (p *Proxy) again(ctx context.Context, w http.ResponseWriter, c call) {
	one := p.try(ctx, c)
	if one.err != nil {
		cut(w)
		return
	}
	other := p.try(ctx, c)
	if other.err == nil {
		p.did(Again)
	}
	told := other.orBetter(one)
	p.reply(w, told.got, told.err)
}

// twice sends two copies at once. A client that was told of success gets the answer at once, and the other
// copy is not cut off if it then leaves.
func (p *Proxy) twice(ctx context.Context, w http.ResponseWriter, c call) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyLimit)
	defer cancel()
	results := make(chan result, 2)
	for range 2 {
		p.working.Go(func() { results <- p.try(ctx, c) })
	}
	one := <-results
	if one.rank() < success {
		other := <-results
		if one.err == nil && other.err == nil {
			p.did(Twice)
		}
		told := one.orBetter(other)
		p.reply(w, told.got, told.err)
		return
	}
	sent := p.reply(w, one.got, one.err)
	if sent {
		_ = http.NewResponseController(w).Flush()
	}
	if other := <-results; sent && other.err == nil {
		p.did(Twice)
	}
}

// result is what became of one copy of a request.
type result struct {
	got answer
	err error
}

func (p *Proxy) try(ctx context.Context, c call) result {
	got, err := p.send(ctx, c)
	got.close() // what is doubled is no stream
	got.stream = nil
	return result{got, err}
}

// How much an answer says of a request that was sent twice: a refusal is about one copy only, and while
// nothing is known of the other the client must not take it for the whole truth.
const (
	refused = iota
	unknown
	success
)

func (r result) rank() int {
	switch {
	case r.err != nil || r.got.status >= http.StatusInternalServerError:
		return unknown
	case r.got.status >= http.StatusBadRequest:
		return refused
	default:
		return success
	}
}

// orBetter is the result of two that is true for both together; this one, if both say as much.
func (r result) orBetter(other result) result {
	if other.rank() > r.rank() {
		return other
	}
	return r
}

// later keeps a copy and delivers it after its delay, on a connection of its own.
func (p *Proxy) later(life context.Context, c call, action Action) {
	p.mu.Lock()
	if p.late++; p.late == 1 {
		p.settled = make(chan struct{})
	}
	flush := p.flush
	p.counts.Kinds[action.Kind]++
	p.mu.Unlock()
	p.working.Go(func() {
		status, err := p.deliver(life, c, action.Delay, flush)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.counts.LateLost++
		} else {
			p.counts.Late[status]++
		}
		if p.late--; p.late == 0 {
			close(p.settled)
		}
	})
}

func (p *Proxy) deliver(life context.Context, c call, delay time.Duration, flush <-chan struct{}) (status int, err error) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-flush:
	case <-life.Done():
		return 0, life.Err()
	}
	ctx, cancel := context.WithTimeout(life, copyLimit)
	defer cancel()
	got, err := p.send(ctx, c)
	got.close()
	return got.status, err
}

// reply gives an answer to the client, or cuts its connection where there is none. It says whether all of
// it was written.
func (p *Proxy) reply(w http.ResponseWriter, got answer, err error) bool {
	if err != nil {
		cut(w)
		return false
	}
	defer got.close()
	maps.Copy(w.Header(), got.header)
	w.WriteHeader(got.status)
	if got.stream == nil {
		_, err := w.Write(got.body)
		return err == nil
	}
	p.count(func(c *Counts) { c.Streamed++ })
	return relay(w, got.stream)
}

// relay passes a stream as it comes. A stream that breaks is broken for the client too.
func relay(w http.ResponseWriter, stream io.Reader) bool {
	control, buffer := http.NewResponseController(w), make([]byte, 32<<10)
	for {
		n, err := stream.Read(buffer)
		if _, e := w.Write(buffer[:n]); e != nil {
			return false
		}
		if e := control.Flush(); e != nil {
			return false
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the server then cuts the connection
		}
	}
}

func (a answer) close() {
	if a.stream != nil {
		_ = a.stream.Close()
	}
}

// cut ends the connection of a client with RST, before any answer.
func cut(w http.ResponseWriter) {
	conn, ok := hijack(w)
	if !ok {
		return
	}
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func hijack(w http.ResponseWriter) (net.Conn, bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	return conn, err == nil
}
