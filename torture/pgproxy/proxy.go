package pgproxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// dialTimeout bounds the connection to the server, which is on this machine.
const dialTimeout = 5 * time.Second

// Proxy forwards connections to one server. Its methods may be called from any goroutine.
type Proxy struct {
	listener net.Listener
	working  sync.WaitGroup // the accept loop and all connections

	mu       sync.Mutex // for everything below
	upstream string     // address of the database, as a URL
	policy   Policy
	random   *rand.Rand
	counts   Counts
	conns    map[*conn]struct{}
	admitted int64 // connections so far
	closed   bool
	refusing bool
	hole     bool
	mute     bool
	delay    time.Duration
}

// Start listens on a free port of the loopback interface and forwards to the server of a database URL.
// It passes everything until told otherwise. Call Close.
func Start(ctx context.Context, upstream string, seed uint64) (*Proxy, error) {
	if _, _, err := address(upstream); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		listener: listener, upstream: upstream, policy: PassAll,
		random: rand.New(rand.NewPCG(seed, 0x706770726f7879)), //nolint:gosec // faults are to be repeatable
		counts: Counts{Kinds: map[Kind]int64{}}, conns: map[*conn]struct{}{},
	}
	p.working.Go(p.accept)
	return p, nil
}

// URL is the address of the same database through the proxy.
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return through(p.upstream, p.listener.Addr().String())
}

// through puts the address of the proxy in place of a server's host and port.
func through(upstream, addr string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return upstream // Start has parsed it
	}
	query := u.Query()
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = addr, query.Encode()
	return u.String()
}

// address returns what to dial.
func address(databaseURL string) (network, addr string, err error) {
	config, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		return "", "", fmt.Errorf("address of the server behind the proxy: %w", err)
	}
	network, addr = pgconn.NetworkAddress(config.Host, config.Port)
	return network, addr, nil
}

// SetPolicy decides about COMMITs from now on.
func (p *Proxy) SetPolicy(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = policy
}

// SetUpstream sends new connections to another server, as after a failover.
func (p *Proxy) SetUpstream(databaseURL string) error {
	if _, _, err := address(databaseURL); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = databaseURL
	return nil
}

// Close cuts everything and returns when all goroutines have ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.cutConns(func(*conn) bool { return true })
	p.working.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			if p.isClosed() {
				return
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // no file descriptor is free; there is nothing to wait for
			continue
		}
		c := p.admit(client)
		if c == nil {
			reset(client)
			continue
		}
		p.working.Go(c.run)
	}
}

func (p *Proxy) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// admit registers a connection, or returns nil where none is wanted.
func (p *Proxy) admit(client net.Conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing || p.closed {
		p.counts.Refused++
		return nil
	}
	c := newConn(p, client)
	p.conns[c] = struct{}{}
	return c
}

func (p *Proxy) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// dial connects to the server.
func (p *Proxy) dial() (net.Conn, error) {
	p.mu.Lock()
	upstream := p.upstream
	p.mu.Unlock()
	network, addr, err := address(upstream)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	server, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		p.count(func(c *Counts) { c.Unreachable++ })
		return nil, err
	}
	p.count(func(c *Counts) { c.Connections++ })
	return server, nil
}

// decide asks the policy.
func (p *Proxy) decide(commit Commit) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Commits++
	return p.policy(p.random, commit)
}
