package httpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxBody is more than a broker takes, so that it is the broker that refuses.
	maxBody = 16 << 20
	// maxLate bounds the copies that wait to be delivered. What comes on top is passed as it is.
	maxLate = 10_000
	// copyLimit bounds the delivery of a copy that nobody waits for: longer than any long poll.
	copyLimit   = 90 * time.Second
	dialTimeout = 5 * time.Second
	// idleTimeout is less than the broker's, so that the broker never closes a connection that is just
	// being used.
	idleTimeout = 20 * time.Second
)

// Proxy forwards requests to one broker. Its methods may be called from any goroutine.
type Proxy struct {
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	working   sync.WaitGroup // the accept loop, requests, and copies on their way
	end       context.CancelFunc

	mu       sync.Mutex // for everything below
	closed   bool
	flush    chan struct{} // closed to deliver all that waits at once, and then replaced
	upstream *url.URL
	policy   Policy
	random   *rand.Rand
	counts   Counts
	late     int           // copies that wait or are being delivered
	settled  chan struct{} // closed while late is 0
}

// Start listens on a free port of the loopback interface and forwards to the broker at a URL such as
// http://127.0.0.1:8080. It passes everything until told otherwise. Call Close.
func Start(ctx context.Context, upstream string, seed uint64) (*Proxy, error) {
	target, err := url.Parse(upstream)
	if err != nil || target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("the address of the broker behind the proxy, %q, is not http://HOST:PORT", upstream)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	p := &Proxy{
		listener: listener, upstream: target, policy: PassAll,
		random: rand.New(rand.NewPCG(seed, 0x6874747070726f)), //nolint:gosec // faults are to be repeatable
		counts: Counts{Kinds: map[Kind]int64{}, Late: map[int]int64{}},
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			DisableCompression:  true, // answers are passed as they are
			MaxIdleConnsPerHost: 1000, IdleConnTimeout: idleTimeout,
		},
		end: end, flush: make(chan struct{}), settled: make(chan struct{}),
	}
	close(p.settled)
	p.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(life, w, r) }),
		ReadHeaderTimeout: dialTimeout, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // clients that go away are what this is for
	}
	p.working.Go(func() { _ = p.server.Serve(listener) })
	return p, nil
}

// URL is the address of the broker through the proxy.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// SetPolicy decides about requests from now on.
func (p *Proxy) SetPolicy(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = policy
}

// SetUpstream sends requests, late copies included, to another broker from now on.
func (p *Proxy) SetUpstream(upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = target
	return nil
}

// FlushLate delivers the copies that wait now, in no order.
func (p *Proxy) FlushLate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.flush)
	p.flush = make(chan struct{})
}

// WaitLate returns when every copy was delivered, or ctx ends.
func (p *Proxy) WaitLate(ctx context.Context) error {
	p.mu.Lock()
	settled := p.settled
	p.mu.Unlock()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("copies that are still to be delivered: %w", ctx.Err())
	}
}

// Close cuts everything, forgets the copies that were not delivered and returns when all goroutines have
// ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	err := p.server.Close()
	p.working.Wait()
	p.transport.CloseIdleConnections()
	return err
}

// enter says whether a request may begin, which then counts as working. Close does not wait for what has
// not begun.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.working.Add(1)
	}
	return !p.closed
}

// decide asks the policy. Where too many copies wait already, nothing is kept for later.
func (p *Proxy) decide(r *http.Request, body []byte) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Requests++
	action := p.policy(p.random, Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: body})
	if (action.Kind == Zombie || action.Kind == Echo) && p.late >= maxLate {
		return Action{Kind: Pass}
	}
	return action
}

// errUnanswered is that the broker gave no whole answer.
var errUnanswered = errors.New("no whole answer from the broker")
