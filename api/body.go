package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/topiq/topiq/service"
)

// keptBuffer is the largest buffer that is kept for the next request.
const keptBuffer = 256 << 10

// declared is how long a request says its body is, at most the limit; 0 where it does not say.
func (s *server) declared(r *http.Request) int64 {
	return max(0, min(r.ContentLength, s.limits.RequestBytes))
}

// readBody reads the whole body of a request, or refuses it. The deadline was set by begin.
func (s *server) readBody(x *exchange, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	if !x.operation.mayHaveBody() {
		return invalid("", "this call has no body")
	}
	if err := x.read(r); err != nil {
		if x.operation.body == nil {
			// The document knows no bodies here, and so no other refusal of one.
			return invalid("", "parameters in a body cannot be read: send them in the query string")
		}
		return err
	}
	// From now on net/http reads ahead to notice when the client goes away. A deadline that struck
	// then would end a long poll.
	x.limitReading(0)
	return nil
}

// read reads a body of the right type.
func (x *exchange) read(r *http.Request) error {
	s := x.server
	if err := checkContent(r.Header); err != nil {
		return err
	}
	if r.ContentLength > s.limits.RequestBytes {
		return s.tooLarge(x)
	}
	x.buffer, _ = s.buffers.Get().(*[]byte)
	if r.ContentLength > 0 {
		return x.readDeclared(r)
	}
	// net/http hides a Content-Length that came along. A proxy may have gone by it, and what it took
	// for more of this body is no request of whoever comes next on the connection.
	x.Header().Set("Connection", "close")
	return x.readChunked(r, s.limits.RequestBytes)
}

// mayHaveBody: operations with a JSON body, and those whose parameters older clients send in one.
func (o *operation) mayHaveBody() bool {
	return o.body != nil || o.query != nil && !o.templated
}

// checkContent accepts JSON as it is, and nothing else: not what a form of a web page can send.
func checkContent(h http.Header) error {
	types := h["Content-Type"]
	if len(types) != 1 {
		return errUnsupportedMediaType
	}
	if types[0] != "application/json" {
		media, parameters, _ := strings.Cut(types[0], ";")
		if !strings.EqualFold(strings.TrimSpace(media), "application/json") {
			return errUnsupportedMediaType
		}
		name, value, _ := strings.Cut(strings.TrimSpace(parameters), "=")
		if parameters != "" && (!strings.EqualFold(name, "charset") || !strings.EqualFold(strings.Trim(value, `"`), "utf-8")) {
			return errUnsupportedMediaType
		}
	}
	for _, encoding := range h["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return errUnsupportedMediaType
		}
	}
	return nil
}

// readDeclared reads a body of known length.
func (x *exchange) readDeclared(r *http.Request) error {
	n := int(r.ContentLength)
	if cap(*x.buffer) < n {
		*x.buffer = make([]byte, n)
	}
	x.body = (*x.buffer)[:n]
	if _, err := io.ReadFull(r.Body, x.body); err != nil {
		return x.broken(err)
	}
	return nil
}

// readChunked reads a body of unknown length. What has come earns time for what is to come.
func (x *exchange) readChunked(r *http.Request, limit int64) error {
	x.body = (*x.buffer)[:0]
	for earned := x.server.config.BodyBytesPerSecond; ; {
		if int64(len(x.body)) >= earned {
			x.limitReading(x.server.config.bodyTime(earned))
			earned += x.server.config.BodyBytesPerSecond
		}
		if len(x.body) == cap(x.body) {
			x.body = append(x.body, 0)[:len(x.body)]
		}
		n, err := r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		*x.buffer = x.body
		switch {
		case int64(len(x.body)) > limit:
			return x.server.tooLarge(x)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return x.broken(err)
		}
	}
}

// broken says why a body ended early. What follows on the connection is no request.
func (x *exchange) broken(err error) error {
	x.Header().Set("Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errRequestTimeout
	}
	return invalid("", "the body is shorter than it says, or malformed")
}

// tooLarge refuses a body without reading on.
func (s *server) tooLarge(x *exchange) error {
	x.Header().Set("Connection", "close")
	limit := s.limits.RequestBytes
	return service.ErrRequestTooLarge.With(service.Facts{MaxBytes: &limit})
}
