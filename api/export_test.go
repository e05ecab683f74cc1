package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/service"
)

// StatusOf and StatusOfHTTP are the tables of errors.go.
func StatusOf(code service.Code) int  { return statusOf(code) }
func StatusOfHTTP(code Code) int      { return statusOfHTTP(code) }
func DefaultConnections(n uint64) int { return defaultConnections(n) }
func (c Config) WithDefaults() Config { return c.withDefaults() }

// Rules are those of access.go: what the document says of the scope, "" where no token is needed.
func Rules() map[string]string {
	scopes := map[string]string{}
	for id, r := range rules() {
		if r.public != (r.scope == "") {
			panic(id + " is public, or has a scope")
		}
		scopes[id] = r.scope
	}
	return scopes
}

func echoOf(handler http.Handler) *echo.Echo {
	s, ok := handler.(*server)
	if !ok {
		panic("not a handler of this package")
	}
	return s.echo
}

// Routes lists what echo routes, as "GET /topics/{topic}".
func Routes(handler http.Handler) []string {
	var routes []string
	for _, r := range echoOf(handler).Routes() {
		routes = append(routes, r.Method+" "+templateOf(r.Path))
	}
	slices.Sort(routes)
	return routes
}

// templateOf writes a path of echo as the document does.
func templateOf(path string) string {
	var template []byte
	for i := 0; i < len(path); i++ {
		if path[i] != ':' {
			template = append(template, path[i])
			continue
		}
		template = append(template, '{')
		for i++; i < len(path) && path[i] != '/'; i++ {
			template = append(template, path[i])
		}
		template = append(template, '}')
		i--
	}
	return string(template)
}

// Replace lets a test stand in for an operation.
func Replace(handler http.Handler, method, path string, operation http.HandlerFunc) {
	echoOf(handler).Add(method, path, func(c echo.Context) error {
		operation(c.Response(), c.Request())
		return nil
	})
}

// Framing is the follower of requests on a connection.
type Framing struct{ framing }

// Take takes in what was read, and Ambiguous is the number of the request that says in two ways where
// its body ends, 0 if there is none.
func (f *Framing) Take(b []byte) bool { return f.take(b) }
func (f *Framing) Ambiguous() int64   { return f.ambiguous.Load() }

// Canonical rewrites a request as the handler does before it routes it. ok is false where the request
// is no operation, and err says that the rewriting refuses it.
func Canonical(handler http.Handler, r *http.Request, body []byte) (target string, changed []byte, ok bool, err error) {
	s, isServer := handler.(*server)
	if !isServer {
		panic("not a handler of this package")
	}
	operation, missing := s.operations.find(r)
	if missing != nil || operation == nil || len(body) > 0 && !operation.mayHaveBody() {
		return "", nil, false, nil //nolint:nilerr // it is no operation, which is no failure of the rewriting
	}
	x := &exchange{server: s, operation: operation, body: slices.Clone(body)}
	rewritten, err := s.canonical(x, r)
	if err != nil {
		return "", nil, true, err
	}
	return rewritten.URL.RequestURI(), x.body, true, operation.checkQuery(rewritten.URL.RawQuery)
}

// Strangers counts requests without a valid token.
type Strangers struct{ strangers }

// NewStrangers returns one that knows nobody.
func NewStrangers() *Strangers { return new(Strangers) }

// Failed counts one.
func (s *Strangers) Failed(remote string, now time.Time) time.Duration { return s.failed(remote, now) }

// Known is how many addresses are known.
func (s *Strangers) Known() int { return len(s.paid) }
