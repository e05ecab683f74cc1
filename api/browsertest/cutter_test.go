//go:build browser

package browsertest

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// cutter passes connections on to a broker, and cuts them when it is told to.
type cutter struct {
	listener net.Listener
	broker   string // its address
	pumps    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	sent  bytes.Buffer // all that came from the browser
}

// newCutter listens until the test ends.
func newCutter(t *testing.T) *cutter {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &cutter{listener: listener}
}

// address is where it listens.
func (c *cutter) address() string { return c.listener.Addr().String() }

// serve passes connections on to the broker at this URL.
func (c *cutter) serve(t *testing.T, broker string) {
	t.Helper()
	c.broker = strings.TrimPrefix(broker, "http://")
	c.pumps.Go(func() {
		for {
			in, err := c.listener.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.broker)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			c.pumps.Go(func() { c.pump(out, io.TeeReader(in, c)) })
			c.pumps.Go(func() { c.pump(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = c.listener.Close()
		c.cut()
		c.pumps.Wait()
	})
}

func (c *cutter) pump(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from) // it ends when either side does
	_ = to.Close()
}

// Write keeps what the browser sends.
func (c *cutter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.Write(b)
}

// heard is all that the browser has sent.
func (c *cutter) heard() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.String()
}

// cut closes all connections, as a network does: in the middle of whatever they carry.
func (c *cutter) cut() {
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}
