package api

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

// server is the handler of all requests.
type server struct {
	broker     *service.Broker
	config     Config
	limits     service.Limits
	log        *slog.Logger
	operations *operations
	hosts      hosts
	origins    origins
	origin     *http.CrossOriginProtection
	docs       *docs
	echo       *echo.Echo
	counts     *counts
	strict     json.Options

	// A request's number in this process, after a prefix that no other process has, is its id.
	idPrefix string
	requests atomic.Uint64

	exchanges sync.Pool // *exchange
	buffers   sync.Pool // *[]byte, for bodies
	answers   sync.Pool // *[]byte
	reading   budget    // of the buffers that are in use
	strangers strangers

	// The values of headers that answers have. They are shared and never modified.
	noStore, noSniff, noReferrer, jsonType, challenge, closing []string
}

// NewHandler returns the handler of the HTTP contract on a broker. It panics when the embedded
// document and this package contradict each other, which is found by any test.
func NewHandler(broker *service.Broker, config Config) http.Handler {
	return newServer(broker, config)
}

func newServer(broker *service.Broker, config Config) *server {
	config = config.withDefaults()
	if config.Metrics == nil {
		config.Metrics = metrics.New(metrics.Config{Version: config.Version})
	}
	operations, err := loadOperations()
	if err != nil {
		panic(fmt.Sprintf("api: the embedded document: %v", err))
	}
	s := &server{
		broker: broker, config: config, limits: broker.Limits(), log: config.Logger,
		operations: operations,
		hosts:      newHosts(config.AllowedHosts, config.AllowAnyHost),
		origins:    newOrigins(config.AllowedOrigins),
		origin:     http.NewCrossOriginProtection(),
		docs:       newDocs(),
		echo:       echo.New(),
		strict:     strictOptions(),
		idPrefix:   rand.Text()[:10] + "-",
		noStore:    []string{"no-store"},
		noSniff:    []string{"nosniff"},
		noReferrer: []string{"no-referrer"},
		jsonType:   []string{"application/json"},
		challenge:  []string{`Bearer realm="topiq"`},
		closing:    []string{"close"},
	}
	s.reading.left.Store(config.readingBytes(&s.limits))
	s.exchanges.New = func() any { return new(exchange) }
	s.buffers.New = func() any { return new([]byte) }
	s.answers.New = func() any { return new([]byte) }
	s.counts = newCounts(config.Metrics, operations)
	config.Metrics.Watch(broker)
	s.echo.Binder = binder{s}
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(exchangeOf(c), c.Request(), err) }
	h := &handlers{s}
	wireserver.RegisterHandlers(s.echo, wireserver.NewStrictHandler(h, []wireserver.StrictMiddlewareFunc{h.authorize}))
	return s
}

// handlers are the operations of the document, one method each. A failure is returned as it is:
// fail writes all of them.
type handlers struct {
	*server
}

var _ wireserver.StrictServerInterface = (*handlers)(nil)

// exchangeOf returns what is known of the request that echo is at.
func exchangeOf(c echo.Context) *exchange {
	x, ok := c.Response().Writer.(*exchange)
	if !ok {
		panic(fmt.Sprintf("api: a response writer of type %T", c.Response().Writer))
	}
	return x
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r)
	defer s.end(x, r)
	admitted, err := s.admit(x, r)
	switch {
	case err != nil || x.status != 0: // or it is answered already
	case x.operation == nil:
		err = s.docs.serve(x, admitted)
	default:
		s.echo.ServeHTTP(x, admitted)
	}
	if err != nil {
		s.fail(x, r, err)
	}
}

// admit checks all that can be checked before an operation is called, and returns the request in
// its canonical shape. x.operation is nil afterwards for the files of /docs, which the document
// does not list. A preflight is answered here.
func (s *server) admit(x *exchange, r *http.Request) (*http.Request, error) {
	if x.ambiguous {
		return nil, malformed("the request has both Content-Length and Transfer-Encoding: where does its body end?")
	}
	if err := s.hosts.check(r); err != nil {
		return nil, err
	}
	operation, missing := s.operations.find(r)
	allowed, answered := s.origins.allow(x, r)
	if answered {
		return nil, nil //nolint:nilnil // nothing is left to do
	}
	if !allowed {
		if err := s.checkOrigin(r, missing == nil && (operation == nil || operation.rule.public)); err != nil {
			return nil, err
		}
	}
	if missing != nil || operation == nil {
		return r, missing
	}
	x.operation = operation
	r.Pattern = operation.pattern // for whoever has wrapped this handler
	if r.Method == http.MethodHead {
		r = withMethod(r, http.MethodGet) // from here on; net/http keeps the body of the answer to itself
	}
	if s.config.Authenticate && !operation.rule.public {
		var err error
		if x.grant, err = s.authenticate(r); err != nil {
			if r.ContentLength != 0 {
				x.hangUp() // what a stranger has to say is not read
			}
			return nil, s.turnAway(r, err)
		}
	}
	if err := s.readBody(x, r); err != nil {
		return nil, err
	}
	r, err := s.canonical(x, r)
	if err != nil {
		return nil, err
	}
	return r, operation.checkQuery(r.URL.RawQuery)
}
