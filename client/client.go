package client

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wireclient"
)

// maxAnswerBytes bounds an answer. The broker answers at most 8 MiB of messages; escapes, base64 and the
// members around each message can make several times that of it.
const maxAnswerBytes = 128 << 20

// Client talks to a broker, or to several of one store: behind one address, or with [Brokers] under their own.
// It is safe for concurrent use; make one and share it. Make producers and consumers with [Client.Producer] and [Client.Consumer].
//
// A request that may not be repeated blindly is not repeated behind the caller's back either. Go's HTTP/1
// transport repeats a request by itself if it failed on a connection that had been idle, but a POST or
// DELETE only if not one byte of it was written (that is what GetBody, which the body of each of our
// requests has, is used for). It repeats a POST that was written only if it carries the header
// Idempotency-Key or X-Idempotency-Key; this client never sets them. HTTP/2 has more reasons to repeat,
// so the default transport does not speak it. Redirects, which repeat a body on 307 and 308, are not
// followed.
type Client struct {
	brokers *brokers
	own     *http.Transport // nil if the caller brought an http.Client
	timeout time.Duration
	retry   Retry
	log     *slog.Logger
	tracer  Tracer // nil if there is none

	mu     sync.Mutex
	closed bool
	open   map[abandoner]struct{} // producers and consumers
}

// abandoner is a producer or consumer that ends at once and waits for its goroutines.
type abandoner interface{ abandon() }

// New makes a client of the broker at baseURL, such as "http://localhost:8080" or
// "https://example.com/topiq"; [Brokers] adds more addresses. It sends no request. Errors: [ErrInvalidRequest] for a URL or an option that
// cannot work.
func New(baseURL string, opts ...Option) (*Client, error) {
	cfg, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}
	c := &Client{
		timeout: cfg.timeout, retry: cfg.retry, log: cfg.log, tracer: cfg.tracer, open: make(map[abandoner]struct{}),
	}
	hc := http.Client{}
	if cfg.httpClient != nil {
		hc = *cfg.httpClient
	} else {
		c.own = newTransport()
		c.own.TLSClientConfig = cfg.tls.Clone()
		hc.Transport = c.own
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.brokers, err = newBrokers(append([]string{baseURL}, cfg.brokers...), wireclient.WithHTTPClient(&hc),
		wireclient.WithRequestEditorFn(func(ctx context.Context, req *http.Request) error {
			req.Header.Set("User-Agent", cfg.userAgent)
			if cfg.token != "" {
				req.Header.Set("Authorization", "Bearer "+cfg.token)
			}
			if cfg.tracer != nil {
				cfg.tracer.Inject(ctx, req.Header)
			}
			return nil
		}))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the client at once: producers and consumers that are still open are abandoned, as if the
// process had died, and later calls return [ErrClosed]. Close them first, so that they can send what they
// hold. Close waits for the goroutines of the client, but neither for the handlers of a Run nor for a Close of
// a consumer that waits for them.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = make(map[abandoner]struct{})
	c.mu.Unlock()
	for a := range open {
		a.abandon()
	}
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
	return nil
}

// track notes an open producer or consumer.
func (c *Client) track(a abandoner) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.open[a] = struct{}{}
	return nil
}

func (c *Client) untrack(a abandoner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, a)
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
