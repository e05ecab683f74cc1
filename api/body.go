package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/topiq/topiq/service"
)

// A buffer begins with firstBuffer bytes, and one that has more than keptBuffer is not used again.
const (
	firstBuffer = 4 << 10
	keptBuffer  = 256 << 10
)

// budget is how much of something is left.
type budget struct{ left atomic.Int64 }

// take takes n if that much is left.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) giveBack(n int64) { b.left.Add(n) }

// readBody reads the whole body of a request, or refuses it. The deadline was set by begin.
func (s *server) readBody(x *exchange, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	if !x.operation.mayHaveBody() {
		return malformed("this call has no body")
	}
	if err := x.read(r); err != nil {
		if x.operation.body == nil && !errors.Is(err, service.ErrOverloaded) {
			// The document knows no bodies here, and so no other refusal of one.
			return malformed("parameters in a body cannot be read: send them in the query string")
		}
		return err
	}
	// From now on net/http reads ahead to notice when the client goes away. A deadline that struck
	// then would end a long poll.
	x.limitReading(0)
	return nil
}

// read reads a body of the right type, if there is room for it.
func (x *exchange) read(r *http.Request) error {
	s := x.server
	if err := checkContent(r.Header); err != nil {
		return err
	}
	if r.ContentLength > s.limits.RequestBytes {
		return x.tooLarge()
	}
	buffer, _ := s.buffers.Get().(*[]byte)
	// Not taken yet: who only announces much is in nobody's way.
	if r.ContentLength > s.reading.left.Load() || !s.reading.take(int64(cap(*buffer))) {
		s.buffers.Put(buffer)
		return x.overloaded()
	}
	x.buffer, x.body = buffer, (*buffer)[:0]
	return x.readAll(r)
}

// readAll reads until a body has the length that it says, or, if it says none, until it ends. What
// has come earns memory, and time, for what is to come.
func (x *exchange) readAll(r *http.Request) error {
	s := x.server
	most := s.limits.RequestBytes + 1 // which shows that it is too large
	if r.ContentLength > 0 {
		most = r.ContentLength
	}
	var err error
	for earned := s.config.BodyBytesPerSecond; err == nil && int64(len(x.body)) < most; {
		if int64(len(x.body)) >= earned {
			x.limitReading(s.config.bodyTime(int64(len(x.body))))
			earned = int64(len(x.body)) + s.config.BodyBytesPerSecond
		}
		if len(x.body) == cap(x.body) && !x.grow(most) {
			return x.overloaded()
		}
		var n int
		n, err = r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
	}
	switch size := int64(len(x.body)); {
	case size > s.limits.RequestBytes:
		return x.tooLarge()
	case size == r.ContentLength || r.ContentLength < 0 && errors.Is(err, io.EOF):
		return nil
	}
	return x.broken(err)
}

// grow makes a full buffer twice as large, if there is room for it, but never larger than most.
func (x *exchange) grow(most int64) bool {
	had := int64(cap(x.body))
	size := min(max(2*had, firstBuffer), most)
	if !x.server.reading.take(size - had) {
		return false
	}
	x.body = append(make([]byte, 0, size), x.body...)
	*x.buffer = x.body
	return true
}

// forgetBody gives back the memory of a body. What was decoded of it is a copy.
func (x *exchange) forgetBody() {
	if x.buffer != nil {
		x.server.reading.giveBack(int64(cap(*x.buffer)))
		if cap(*x.buffer) <= keptBuffer {
			x.server.buffers.Put(x.buffer)
		}
	}
	x.buffer, x.body = nil, nil
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

// broken says why a body ended early.
func (x *exchange) broken(err error) error {
	x.hangUp()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errRequestTimeout
	}
	return malformed("the body is shorter than it says, or malformed")
}

// tooLarge refuses a body without reading on.
func (x *exchange) tooLarge() error {
	x.hangUp()
	limit := x.server.limits.RequestBytes
	return service.ErrRequestTooLarge.With(service.Facts{MaxBytes: &limit})
}

// overloaded refuses a body that there is no room for, without reading on.
func (x *exchange) overloaded() error {
	x.hangUp()
	return service.ErrOverloaded
}
