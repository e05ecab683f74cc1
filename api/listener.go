package api

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listen bounds the connections of a listener. When there are as many as are allowed, the next one
// gets in at the cost of the one that has rested longest: a client that opens connections and sends
// nothing takes no place from those that work. Where all of them work it waits until one has ended.
//
// The server of NewServer must serve it: that tells it which connections rest.
//
// With TLS, inner is the listener of TLS, not the other way round: then what is read here is what
// the server reads, and the requests on it can be followed (framing). The server takes such a
// connection for a plain one. The handshake is made by its first read, within the time for a header block.
func Listen(inner net.Listener, config Config) net.Listener {
	l := &listener{
		Listener: inner,
		slots:    make(chan struct{}, config.withDefaults().Connections),
		closed:   make(chan struct{}),
	}
	if config.Metrics != nil {
		config.Metrics.Connections(func() int { return len(l.slots) })
	}
	return l
}

type listener struct {
	net.Listener
	slots     chan struct{} // holds one for each open connection
	closed    chan struct{}
	closeOnce sync.Once

	mu      sync.Mutex
	resting list.List // of *conn, the one that has rested longest first
	// waiting says that a connection was accepted and has no slot yet: the next one that rests is
	// closed at once.
	waiting bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	default:
		if oldest := l.makeRoom(); oldest != nil {
			oldest.drop() // which gives its slot back
		}
		select {
		case l.slots <- struct{}{}:
		case <-l.closed:
			_ = inner.Close()
			return nil, net.ErrClosed
		}
	}
	l.mu.Lock()
	l.waiting = false
	l.mu.Unlock()
	return &conn{Conn: inner, listener: l}, nil
}

// Close implements net.Listener. The connections stay open.
func (l *listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// makeRoom returns the connection that has rested longest. If none rests, the next that does is
// closed by rest.
func (l *listener) makeRoom() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.resting.Front()
	if first == nil {
		l.waiting = true
		return nil
	}
	oldest, _ := l.resting.Remove(first).(*conn) // nothing else is in the list
	oldest.place = nil
	return oldest
}

// rest notes that all that was asked on a connection is answered.
func (l *listener) rest(c *conn) {
	l.mu.Lock()
	if l.waiting {
		l.waiting = false
		l.mu.Unlock()
		c.drop()
		return
	}
	if c.place == nil && !c.gone {
		c.place = l.resting.PushBack(c)
	}
	l.mu.Unlock()
}

// work notes the opposite.
func (l *listener) work(c *conn, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place != nil {
		l.resting.Remove(c.place)
		c.place = nil
	}
	c.gone = c.gone || gone
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	listener *listener
	closing  sync.Once
	closeErr error

	// Both are guarded by listener.mu: where it stands among those that rest, nil if it does not,
	// and whether it was closed.
	place *list.Element
	gone  bool

	// framing follows the requests that come in. It is nil unless the server reads HTTP from this
	// very connection: not where TLS is in between (see Listen).
	framing *framing
	served  int64 // requests that the handler was given; by the goroutine that serves them alone
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		answerPlain(err)
	}
	if c.framing != nil && c.framing.take(b[:n]) {
		// Before the server sees it: a request that was taken is not lost to make room.
		c.listener.work(c, false)
	}
	return n, err
}

// Close implements net.Conn. The server and makeRoom may both close it.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.listener.work(c, true)
		c.closeErr = c.Conn.Close()
		<-c.listener.slots
	})
	return c.closeErr
}

// drop closes a connection without the goodbye of TLS: a client that takes nothing from it would make
// the listener wait.
func (c *conn) drop() {
	if secured, ok := c.Conn.(*tls.Conn); ok {
		_ = secured.NetConn().Close()
	}
	_ = c.Close()
}

// answerPlain tells a client that speaks plain HTTP to a port of TLS, in the words of net/http, which
// does not see that it is one.
func answerPlain(err error) {
	header, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || header.Conn == nil {
		return
	}
	switch string(header.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		_ = header.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// CloseWrite closes the sending half, for net/http: a client that still sends then gets the answer
// before the connection is reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connOf returns the connection of ours below one that the server has, nil if there is none.
func connOf(outer net.Conn) (c *conn, direct bool) {
	if c, ok := outer.(*conn); ok {
		return c, true
	}
	if wrapped, ok := outer.(interface{ NetConn() net.Conn }); ok { // of TLS
		c, _ := wrapped.NetConn().(*conn)
		return c, false
	}
	return nil, false
}

// connState tells the listener which connections rest: those that have sent nothing since they were
// opened, or since the last answer.
func connState(outer net.Conn, state http.ConnState) {
	c, _ := connOf(outer)
	if c == nil {
		return
	}
	switch state {
	case http.StateNew:
		c.listener.rest(c)
	case http.StateIdle:
		// The next request may be in the buffer of the server already: to close then would lose the
		// answer of a request that was taken.
		if c.framing == nil || !c.framing.ahead(c.served) {
			c.listener.rest(c)
		}
	case http.StateActive:
		c.listener.work(c, false)
	case http.StateHijacked, http.StateClosed:
		c.listener.work(c, true)
	}
}

// connKey is what the context of a request has its *conn under.
type connKey struct{}

// connContext makes the server's connection known to the handler.
func connContext(ctx context.Context, outer net.Conn) context.Context {
	c, direct := connOf(outer)
	if c == nil || !direct {
		return ctx
	}
	c.framing = &framing{}
	return context.WithValue(ctx, connKey{}, c)
}

// connOfRequest returns the connection that a request came on, nil if the handler is served otherwise.
func connOfRequest(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// counting counts the requests of each connection, before anything else can answer them.
type counting struct{ next http.Handler }

// ServeHTTP implements http.Handler.
func (h counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := connOfRequest(r); c != nil {
		c.served++
	}
	h.next.ServeHTTP(w, r)
}

// ambiguous reports whether a request says in two ways where its body ends.
func ambiguous(r *http.Request) bool {
	c := connOfRequest(r)
	return c != nil && r.ProtoMajor == 1 && c.framing.ambiguous.Load() == c.served
}
