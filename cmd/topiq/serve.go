package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/db"
	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/service"
)

// serveCommand is `topiq serve`.
type serveCommand struct {
	Addr            string        `default:"127.0.0.1:8080" help:"Address to listen on, HOST:PORT. Port 0 is any free one; the one it was is printed."`
	Store           string        `default:"sqlite:topiq.db" help:"Where messages are kept: memory: (lost with the process), sqlite:FILE or postgres://USER@HOST/DATABASE."`
	ShutdownTimeout time.Duration `default:"15s" help:"Time to finish what was begun after SIGTERM or SIGINT, such as 500ms, 15s or 1m."`
	LogLevel        slog.Level    `default:"info" help:"Least level of what is logged on standard error: debug, info, warn or error."`
	LogFormat       string        `default:"text" enum:"text,json" help:"Form of the logs: text or json."`

	Access accessFlags `embed:"" group:"access"`

	UnsafeDurability bool `group:"postgres" help:"Accept a server whose settings may lose messages that were acknowledged."`
	Replicated       bool `group:"postgres" help:"Your word that commits wait for a synchronous standby, and that only such a one is promoted: answers say durable: replicated. While synchronous_standby_names is empty nothing is written."`
	MaxConns         int  `group:"postgres" default:"0" help:"Most connections to the database; 0 is 20, or more where --lanes needs them."`
	Lanes            int  `group:"postgres" default:"0" help:"Groups of messages that may be committing at a time; 0 is as many as there are processors, at least 2, at most 4."`

	profileFlag

	AccessLog bool   `help:"Log a line for each request, at level info in place of debug."`
	Traces    string `default:"off" enum:"off,otlp" help:"Where spans of OpenTelemetry go: off, or otlp for OTLP over HTTP, to where the variables OTEL_EXPORTER_OTLP_* say (http://localhost:4318 without them)."`

	MetricsConsumers  int           `default:"0" placeholder:"N" help:"Show the lag of so many named consumers at /metrics; 0 is none. They are read from the store, at most every 10 s."`
	ForgetUnusedAfter age           `default:"90d" help:"Producers and consumers without a name that nobody has used for so long are forgotten, such as 36h or 90d; 0 is never."`
	RetentionInterval time.Duration `default:"10s" help:"About how often is looked for what topics need not keep any more."`

	Limits limitFlags `embed:"" group:"limits"`
}

// mostMetricsConsumers keeps a scrape from being a burden to the store and to whoever keeps it.
const mostMetricsConsumers = 10_000

// Validate refuses what cannot work; kong calls it.
func (c *serveCommand) Validate() error {
	switch {
	case c.ShutdownTimeout < 0:
		return errors.New("--shutdown-timeout must not be negative")
	case c.MaxConns < 0:
		return errors.New("--max-conns must not be negative")
	case c.MetricsConsumers < 0 || c.MetricsConsumers > mostMetricsConsumers:
		return fmt.Errorf("--metrics-consumers must be between 0 and %d", mostMetricsConsumers)
	case c.Lanes < 0:
		return errors.New("--lanes must not be negative")
	case c.ForgetUnusedAfter != 0 && time.Duration(c.ForgetUnusedAfter) < time.Minute:
		return errors.New("--forget-unused-after must be at least 1m, or 0")
	case c.RetentionInterval < time.Millisecond:
		return errors.New("--retention-interval must be at least 1ms")
	}
	if err := c.Access.validate(); err != nil {
		return err
	}
	return c.Limits.Validate()
}

// Run serves until ctx ends, and then finishes what was begun.
func (c *serveCommand) Run(ctx context.Context, s streams) error {
	stop, err := c.profile()
	if err != nil {
		return err
	}
	return errors.Join(c.serve(ctx, s), stop())
}

// serve is Run without a profile.
func (c *serveCommand) serve(ctx context.Context, s streams) error {
	log := c.logger(s)
	for _, built := range fault.Unsafe() {
		log.WarnContext(ctx, "this is no ordinary build; it is for tests", "build", built)
	}
	listener, local, err := c.listen(ctx, log)
	if err != nil {
		return err
	}
	collectSeldom()
	// The port is taken before the store is touched: a second start by mistake changes nothing.
	store, err := db.Open(ctx, c.Store, db.Config{
		Logger: log, UnsafeDurability: c.UnsafeDurability, Replicated: c.Replicated,
		MaxConns: c.MaxConns, Lanes: c.Lanes,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	auth, err := c.Access.authenticate(ctx, store, log)
	if err != nil {
		return errors.Join(err, store.Close(), listener.Close())
	}
	p := store.Properties()
	for _, setting := range p.Unsafe {
		log.WarnContext(ctx, "unsafe setting of the store", "setting", setting)
	}
	tracing, err := startTraces(ctx, c.Traces, log)
	if err != nil {
		return errors.Join(err, store.Close(), listener.Close())
	}
	defer tracing.end(ctx, log)
	figures := metrics.New(metrics.Config{Version: version, Consumers: c.MetricsConsumers})
	//nolint:contextcheck // what the broker began it finishes, whether or not ctx has ended
	broker := service.NewBroker(store, service.Config{
		Logger: log, Limits: c.Limits.service(), Now: fault.Clock(), Observer: figures, Tracer: tracing.tracer(),
		RetentionInterval: c.RetentionInterval, ForgetUnusedAfter: time.Duration(c.ForgetUnusedAfter),
	})
	config := c.apiConfig(listener.Addr(), local, auth, log)
	config.Metrics = figures
	server := api.NewServer(tracing.wrap(api.NewHandler(broker, config)), config)
	url := c.Access.scheme() + "://" + reachable(listener.Addr())
	_, _ = fmt.Fprintf(s.out, "topiq %s listens on %s and keeps messages in %s; how to use it: %s/docs\n",
		version, url, db.Redact(c.Store), url)
	log.InfoContext(ctx, "serving", "version", version, "addr", listener.Addr().String(),
		"store", db.Redact(c.Store), "durability", string(p.Durability), "auth", auth, "tls", c.Access.TLS.on(), "unsafe", slices.Concat(p.Unsafe, config.Unsafe))

	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listen(listener, config)) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		served <- err // shutDown tells of it
	}
	log.InfoContext(ctx, "shutting down", "timeout", c.ShutdownTimeout)
	if err := c.shutDown(ctx, server, broker, served); err != nil {
		return err
	}
	log.InfoContext(ctx, "stopped")
	return nil
}

// shutDown stops taking work and finishes what was begun, both within the timeout. ctx may have
// ended.
func (c *serveCommand) shutDown(
	ctx context.Context, server *http.Server, broker *service.Broker, served <-chan error,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	// The listener is closed first, so that nobody comes in any more. Then the broker ends the
	// long polls, commits what is queued and closes the store, while the server waits for the
	// handlers that are answered by this.
	drained := make(chan error, 1)
	server.RegisterOnShutdown(func() { drained <- broker.Close(ctx) })
	server.SetKeepAlivesEnabled(false)
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	select {
	case closeErr := <-drained:
		err = errors.Join(err, closeErr)
	case <-ctx.Done():
		// The store may wait for ever for what hangs in it. What is lost by ending the process
		// instead is nothing that was acknowledged.
		err = ctx.Err()
	}
	if servedErr := <-served; !errors.Is(servedErr, http.ErrServerClosed) {
		err = errors.Join(err, servedErr)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not everything was finished within %s; clients that got no answer must ask again", c.ShutdownTimeout)
	}
	return err
}

// listen binds the address. It says whether only this machine can reach it, and refuses any other
// that was not asked for in so many words.
func (c *serveCommand) listen(ctx context.Context, log *slog.Logger) (listener net.Listener, local bool, err error) {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, false, &usageError{fmt.Errorf("--addr %q is not HOST:PORT, such as 127.0.0.1:8080", c.Addr)}
	}
	if host != "" {
		ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
		if err != nil {
			return nil, false, fmt.Errorf("--addr %s: %w", c.Addr, err)
		}
		local = !slices.ContainsFunc(ips, func(ip net.IP) bool { return !ip.IsLoopback() })
	}
	if err := c.Access.refuseOpen(c.Addr, local); err != nil {
		return nil, false, err
	}
	var config net.ListenConfig
	if listener, err = config.Listen(ctx, "tcp", c.Addr); err != nil {
		return nil, false, err
	}
	secured, err := c.Access.TLS.listener(listener, log)
	if err != nil {
		return nil, false, errors.Join(err, listener.Close())
	}
	return secured, local, nil
}

func (c *serveCommand) apiConfig(addr net.Addr, local, auth bool, log *slog.Logger) api.Config {
	config := api.Config{
		Version: version, Logger: log, AccessLog: c.AccessLog,
		AllowedHosts: c.Access.AllowHost, AllowAnyHost: slices.Contains(c.Access.AllowHost, "*"),
		AllowedOrigins: c.Access.AllowOrigin, Authenticate: auth,
		HeaderBytes: int(c.Limits.HeaderBlockBytes), JSONDepth: c.Limits.JSONDepth,
		HeaderTimeout:      time.Duration(c.Limits.ReadHeaderSeconds) * time.Second,
		BodyTimeout:        time.Duration(c.Limits.ReadBodySeconds) * time.Second,
		BodyBytesPerSecond: int64(c.Limits.ReadBodyBytesPerSecond),
		ReadingBytes:       int64(c.Limits.ReadingBytes),
		IdleTimeout:        time.Duration(c.Limits.IdleSeconds) * time.Second,
		Connections:        c.Limits.Connections,
	}
	config.Unsafe = append(fault.Unsafe(), c.Access.unsafe(addr.String(), local, auth)...)
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		config.AllowedHosts = append(slices.Clone(c.Access.AllowHost), tcp.String())
	}
	return config
}

// reachable is the host and port by which this machine reaches a listener.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return addr.String()
}

func (c *serveCommand) logger(s streams) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(s.err, options))
	}
	return slog.New(slog.NewTextHandler(s.err, options))
}
