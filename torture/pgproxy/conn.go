package pgproxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// The first message of a client has no type, but one of these codes.
const (
	codeCancel  = 80877102
	codeTLS     = 80877103
	codeGSS     = 80877104
	maxStartUp  = 10_000 // PostgreSQL's own limit
	startUpHead = 8
)

var errCut = errors.New("the connection was cut")

// conn is one client's connection and the one to the server that belongs to it.
type conn struct {
	proxy  *Proxy
	id     int64
	client net.Conn
	server net.Conn      // nil before the start-up message was forwarded; set before the pumps start
	done   chan struct{} // closed when the connection is cut
	once   sync.Once

	// For everything below: the lock of the proxy.
	hole      bool   // this connection alone
	lost      bool   // something fell into a hole
	armed     Action // for the answer to a COMMIT that was forwarded
	armedTrip int    // the round trip in which that answer comes
	sentTrips int    // messages forwarded that the server answers with ReadyForQuery
	commits   int
}

// newConn is called with the lock held.
func newConn(p *Proxy, client net.Conn) *conn {
	p.admitted++
	return &conn{proxy: p, id: p.admitted, client: client, done: make(chan struct{})}
}

// run forwards until one side ends, or the connection is cut.
func (c *conn) run() {
	defer c.proxy.forget(c)
	defer c.cut(false)
	in := newSource(c.client)
	if !c.startUp(in) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { c.end(c.fromClient(in)) })
	pumps.Go(func() { c.end(c.fromServer()) })
	pumps.Wait()
}

// startUp handles messages until the one that opens a session, and forwards that. It says whether there
// is a session.
func (c *conn) startUp(in *source) bool {
	for {
		message := make([]byte, startUpHead)
		if _, err := io.ReadFull(in.in, message); err != nil {
			c.end(err)
			return false
		}
		length := binary.BigEndian.Uint32(message)
		if length < startUpHead || length > maxStartUp {
			return false
		}
		message = slices.Concat(message, make([]byte, length-startUpHead))
		if _, err := io.ReadFull(in.in, message[startUpHead:]); err != nil {
			c.end(err)
			return false
		}
		if c.swallow(len(message)) {
			c.drain(in.in)
			return false
		}
		if c.wait(time.Until(in.clock.last.Add(c.proxy.currentDelay()))) != nil {
			return false
		}
		code := binary.BigEndian.Uint32(message[4:])
		if code == codeTLS || code == codeGSS {
			if _, err := c.client.Write([]byte("N")); err != nil {
				return false
			}
			continue
		}
		return c.open(message) && code != codeCancel
	}
}

// open dials the server and forwards the first message.
func (c *conn) open(message []byte) bool {
	server, err := c.proxy.dial()
	if err != nil {
		return false
	}
	c.proxy.mu.Lock()
	c.server = server
	c.proxy.mu.Unlock()
	select {
	case <-c.done: // cut saw no server
		_ = server.Close()
		return false
	default:
	}
	if _, err := server.Write(message); err != nil {
		return false
	}
	if binary.BigEndian.Uint32(message[4:]) == codeCancel {
		c.proxy.count(func(counts *Counts) { counts.Cancels++ })
		_, _ = io.Copy(io.Discard, server) // the server closes when it has done it
	}
	return true
}

// end is called when a direction cannot go on. In a hole the other side does not learn of it.
func (c *conn) end(err error) {
	if err == nil || errors.Is(err, errCut) {
		return
	}
	if c.swallow(0) {
		<-c.done
		return
	}
	c.cut(false)
}

// cut ends both sides; to the client with RST or FIN.
func (c *conn) cut(rst bool) {
	c.once.Do(func() {
		close(c.done)
		if rst {
			reset(c.client)
		} else {
			_ = c.client.Close()
		}
		c.proxy.mu.Lock()
		server := c.server
		c.proxy.mu.Unlock()
		if server != nil {
			_ = server.Close()
		}
	})
}

// wait returns early, with an error, when the connection is cut.
func (c *conn) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.done:
		return errCut
	}
}

// swallow says whether the connection is in a hole, into which n bytes fall then.
func (c *conn) swallow(n int) bool {
	p := c.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hole && !c.hole {
		return false
	}
	c.lost = true
	p.counts.Swallowed += int64(n)
	return true
}

// drain reads what falls into the hole, until the connection is cut.
func (c *conn) drain(in *bufio.Reader) {
	buffer := make([]byte, bufferBytes)
	for {
		n, err := in.Read(buffer)
		c.proxy.count(func(counts *Counts) { counts.Swallowed += int64(n) })
		if err != nil {
			<-c.done
			return
		}
	}
}

// fall lets this connection fall into a hole of its own. It is cut when the time is over.
func (c *conn) fall(d time.Duration) {
	c.proxy.mu.Lock()
	c.hole, c.lost = true, true
	c.proxy.mu.Unlock()
	c.proxy.working.Go(func() {
		if c.wait(d) == nil {
			c.proxy.count(func(counts *Counts) { counts.HoleCut++ })
			c.cut(true)
		}
	})
}
