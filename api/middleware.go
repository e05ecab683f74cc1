package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/topiq/topiq/service"
)

// exchange is one request and its answer: the response writer that handlers get, and what is known
// of the request beside it. It lives until ServeHTTP returns and is used again.
type exchange struct {
	http.ResponseWriter
	server    *server
	operation *operation
	grant     *service.Grant // what the token allows; nil where none is asked for
	body      []byte         // the whole body, in its canonical shape; nil when it is decoded
	buffer    *[]byte        // what body was read into, to be used again; all of it counts in server.reading
	ambiguous bool           // the request says in two ways where its body ends
	number    uint64
	began     time.Time
	status    int // 0 until the answer has begun
	size      int64
	code      string // of the failure, for the access log
}

// begin takes up a request and sets the headers that every answer has.
func (s *server) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x, _ := s.exchanges.Get().(*exchange)
	*x = exchange{ResponseWriter: w, server: s, number: s.requests.Add(1), began: time.Now()}
	s.counts.requests.Begin()
	h := w.Header()
	h["Cache-Control"] = s.noStore
	h["X-Content-Type-Options"] = s.noSniff
	h["Referrer-Policy"] = s.noReferrer
	if r.ContentLength != 0 {
		// Also where the body is refused unread: net/http reads on for a while before it answers.
		x.limitReading(s.config.bodyTime(0))
	}
	if x.ambiguous = ambiguous(r); x.ambiguous || r.ContentLength < 0 {
		// net/http hides a Content-Length that came along with chunks. A proxy may have gone by it, and
		// what it took for more of this body is no request of whoever comes next on the connection.
		x.hangUp()
	}
	return x
}

// end recovers from a panic of a handler, which is a failure of its request alone, and writes the
// access log.
func (s *server) end(x *exchange, r *http.Request) {
	defer s.release(x)
	p := recover()
	if p == http.ErrAbortHandler { //nolint:errorlint // it is only ever thrown as it is
		panic(p)
	}
	if p != nil {
		s.fail(x, r, &panicError{p, debug.Stack()})
		if x.status != http.StatusInternalServerError {
			// Half of another answer is on its way: better that the client sees it break off.
			panic(http.ErrAbortHandler)
		}
	}
	s.logAccess(x, r)
}

func (s *server) release(x *exchange) {
	s.counts.end(x)
	x.forgetBody()
	*x = exchange{}
	s.exchanges.Put(x)
}

func (s *server) logAccess(x *exchange, r *http.Request) {
	level := slog.LevelDebug
	if s.config.AccessLog {
		level = slog.LevelInfo
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	s.log.LogAttrs(r.Context(), level, "request",
		slog.String("request_id", x.id()),
		slog.String("method", r.Method),
		slog.String("operation", x.operation.name()),
		slog.String("token_id", x.tokenID()),
		slog.Int("status", x.status),
		slog.String("code", x.code),
		slog.Int64("bytes", x.size),
		slog.Duration("took", time.Since(x.began)),
	)
}

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

// Error implements error.
func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// id is what the log and the answer of an internal failure call this request.
func (x *exchange) id() string { return x.server.idPrefix + strconv.FormatUint(x.number, 36) }

// tokenID is the public part of the token, "" if there is none.
func (x *exchange) tokenID() string {
	if x.grant == nil {
		return ""
	}
	return x.grant.TokenID
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter. A client that does not take its answer in time loses
// the connection; net/http lifts the deadline after the answer.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	length, err := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64)
	if err != nil {
		length = x.server.limits.ReadBytes // a file of /docs
	}
	// Fails only for writers without a connection, which are those of tests.
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(x.server.config.bodyTime(length)))
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	n, err := x.ResponseWriter.Write(b)
	x.size += int64(n)
	return n, err
}

// hangUp closes the connection after the answer: what follows on it is no request.
func (x *exchange) hangUp() { x.Header()["Connection"] = x.server.closing }

// limitReading sets how long after its beginning the rest of the request may still be read; 0 is
// without limit.
func (x *exchange) limitReading(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = x.began.Add(d)
	}
	_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(deadline) // see WriteHeader
}
