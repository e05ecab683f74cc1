// Package apitest serves the real handler on a real store, for tests of the handler, of clients and
// of the command. Everything that passes through is checked against the document that the handler
// itself serves, so that document and broker cannot drift apart.
package apitest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// Server is a broker that listens on a loopback address until the test ends.
type Server struct {
	// URL is where it listens, without a slash at the end.
	URL string
	// Broker is what the handler calls.
	Broker *service.Broker
	// Handler is the handler, with the checks around it.
	Handler http.Handler
	// HTTP is the server, for tests that break its connections. It is closed by the test's end.
	HTTP *httptest.Server

	closeBroker func() error
}

// CloseBroker shuts the broker down while HTTP is still served, as at the end of a process. The
// end of the test does it otherwise.
func (s *Server) CloseBroker() error { return s.closeBroker() }

// Option changes what Serve starts.
type Option func(*options)

type options struct {
	store      service.Store
	service    service.Config
	http       api.Config
	anyRequest bool
}

// Store serves a store in place of an empty one in memory. The broker closes it.
func Store(store service.Store) Option { return func(o *options) { o.store = store } }

// Service configures the broker.
func Service(config service.Config) Option { return func(o *options) { o.service = config } }

// HTTP configures the handler and the HTTP server.
func HTTP(config api.Config) Option { return func(o *options) { o.http = config } }

// AnyRequest checks answers only. It is for requests that the broker accepts though the document
// does not describe them, which are those of older clients.
func AnyRequest() Option { return func(o *options) { o.anyRequest = true } }

// Serve starts a broker, and fails the test when a request that succeeded, or any answer, is not
// what the document says.
func Serve(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.store == nil {
		o.store = memory.New(memory.Config{})
	}
	broker := service.NewBroker(o.store, o.service)
	handler := Check(tb, api.NewHandler(broker, o.http), o.anyRequest)
	server := httptest.NewUnstartedServer(handler)
	server.Config = api.NewServer(handler, o.http)
	server.Listener = api.Listen(server.Listener, o.http)
	server.Start()
	closeBroker := sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return broker.Close(ctx)
	})
	tb.Cleanup(func() {
		// Before the server, whose Close waits for long polls.
		if err := closeBroker(); err != nil {
			tb.Errorf("the broker did not close: %v", err)
		}
		server.Close()
	})
	return &Server{URL: server.URL, Broker: broker, Handler: handler, HTTP: server, closeBroker: closeBroker}
}
