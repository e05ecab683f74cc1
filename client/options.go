package client

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Defaults of a client.
const (
	defaultTimeout   = 30 * time.Second
	defaultUserAgent = "topiq-go"

	// The one host is the broker, or there are a few: every producer and every polled topic holds a connection of its own.
	idleConnections       = 1024
	idleConnectionTimeout = 55 * time.Second // the broker closes idle connections after 60 s
	dialTimeout           = 10 * time.Second
	keepAlive             = 30 * time.Second
)

// Option configures a [Client].
type Option interface{ applyClient(cfg *clientConfig) }

type clientConfig struct {
	brokers    []string // beside the base URL
	httpClient *http.Client
	timeout    time.Duration
	log        *slog.Logger
	retry      Retry
	userAgent  string
	token      string
	tls        *tls.Config
	tracer     Tracer
}

type clientOption func(*clientConfig)

func (o clientOption) applyClient(cfg *clientConfig) { o(cfg) }

// WithHTTPClient makes the client send its requests through hc, which must not have a Timeout of its own
// shorter than a long poll. Redirects are not followed, whatever hc says. Close leaves its connections open.
//
// The default is a transport of the client's own that speaks HTTP/1.1. Keep to HTTP/1.1 for producers
// without a name: an HTTP/2 transport of Go repeats requests after some resets of a stream, and such
// messages may then be stored twice.
func WithHTTPClient(hc *http.Client) Option {
	return clientOption(func(cfg *clientConfig) { cfg.httpClient = hc })
}

// WithTimeout sets the most time that one attempt of a call may take, from the connection to the last byte
// of the answer; a long poll may take its waiting time in addition. Default 30 s.
func WithTimeout(d time.Duration) Option {
	return clientOption(func(cfg *clientConfig) { cfg.timeout = d })
}

// WithLogger makes the client tell of retries (level debug) and of passing failures of producers and
// consumers (level warn). The default is silence.
func WithLogger(log *slog.Logger) Option {
	return clientOption(func(cfg *clientConfig) { cfg.log = log })
}

// WithRetry sets how passing failures are retried.
func WithRetry(r Retry) Option {
	return clientOption(func(cfg *clientConfig) { cfg.retry = r })
}

// WithUserAgent sets the User-Agent header. Default "topiq-go".
func WithUserAgent(name string) Option {
	return clientOption(func(cfg *clientConfig) { cfg.userAgent = name })
}

// WithToken sends a bearer token with every request, in the Authorization header only.
func WithToken(token string) Option {
	return clientOption(func(cfg *clientConfig) { cfg.token = token })
}

// WithTLS sets how the default transport trusts brokers, and shows who it is: root certificates, a certificate
// of its own. It does not go with WithHTTPClient, whose transport has a configuration already.
func WithTLS(config *tls.Config) Option {
	return clientOption(func(cfg *clientConfig) { cfg.tls = config })
}

func newClientConfig(opts []Option) (clientConfig, error) {
	cfg := clientConfig{
		timeout:   defaultTimeout,
		log:       slog.New(slog.DiscardHandler),
		userAgent: defaultUserAgent,
	}
	for _, o := range opts {
		o.applyClient(&cfg)
	}
	if cfg.timeout <= 0 {
		return cfg, invalid("timeout", "%s is not above 0", cfg.timeout)
	}
	if cfg.log == nil {
		return cfg, invalid("logger", "it is nil; leave the option out for silence")
	}
	if cfg.tls != nil && cfg.httpClient != nil {
		return cfg, invalid("TLS", "the client of WithHTTPClient has its own")
	}
	var err error
	cfg.retry, err = cfg.retry.withDefaults()
	return cfg, err
}

// newTransport returns the default transport. It speaks HTTP/1.1 only; see [Client] for the reason.
func newTransport() *http.Transport {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     idleConnectionTimeout,
		Protocols:           protocols,
		// Messages are small or do not compress; a gzip reader per answer costs more than it saves.
		DisableCompression: true,
	}
}
