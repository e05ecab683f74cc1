package postgres_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a broker and its server, and can make a connection a black hole: what is sent
// into it is taken, and acknowledged by TCP, and never arrives. No side notices anything.
type proxy struct {
	listener net.Listener
	socket   string
	// cut is what the next connection does that is about to pass a COMMIT; it is used once.
	cut atomic.Int32
	// holes has an entry for each connection that passes nothing any more.
	holes chan struct{}

	running sync.WaitGroup
	mu      sync.Mutex
	conns   []net.Conn
}

// The ways to cut a connection.
const (
	passAll    int32 = iota
	loseCommit       // the COMMIT does not arrive
	loseAnswer       // it arrives, and its answer does not
	loseWrites       // half of what is to be written arrives, under the locks that are held
)

const (
	commitMessage = "Q\x00\x00\x00\x0bcommit\x00" // on the wire
	payloadStart  = "message "                    // of what a writer sends
)

// newProxy starts a proxy for the server of an address, and returns it with the address to use.
func newProxy(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		listener: listener, socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"), holes: make(chan struct{}, 10),
	}
	ctx := context.WithoutCancel(t.Context()) // brokers are closed after that one has ended
	p.running.Go(func() { p.accept(ctx) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, conn := range p.conns {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	u.Host, u.User = listener.Addr().String(), url.User("postgres")
	u.RawQuery = "sslmode=disable"
	return p, u.String()
}

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "unix", p.socket)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		var hole atomic.Bool
		p.running.Go(func() { p.pass(client, server, &hole, true) })
		p.running.Go(func() { p.pass(server, client, &hole, false) })
	}
}

// pass copies one direction. A hole goes on reading and passes nothing on, not even the end.
func (p *proxy) pass(from, to net.Conn, hole *atomic.Bool, fromClient bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if fromClient && n > 0 {
			p.decide(buffer[:n], to, hole)
		}
		if hole.Load() {
			if err != nil {
				return
			}
			continue
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// decide makes a connection a hole if it is its turn.
func (p *proxy) decide(sent []byte, to net.Conn, hole *atomic.Bool) {
	commits := bytes.Contains(sent, []byte(commitMessage))
	switch {
	case commits && p.cut.CompareAndSwap(loseAnswer, passAll):
		hole.Store(true) // before the answer can come
		_, _ = to.Write(sent)
	case commits && p.cut.CompareAndSwap(loseCommit, passAll):
		hole.Store(true)
	case bytes.Contains(sent, []byte(payloadStart)) && p.cut.CompareAndSwap(loseWrites, passAll):
		hole.Store(true)
		_, _ = to.Write(sent[:len(sent)/2])
	default:
		return
	}
	p.holes <- struct{}{}
}
