//go:build faults

package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/fault"
)

// halfway makes w send half of its answer, stop at a fault point, and send the rest. An error at the
// point cuts the connection there: the status is sent already, and says success.
func halfway(w http.ResponseWriter, point string) http.ResponseWriter {
	if response, ok := w.(*echo.Response); ok {
		if x, ok := response.Writer.(*exchange); ok {
			x.ResponseWriter = &halfWriter{x.ResponseWriter, point}
		}
	}
	return w
}

type halfWriter struct {
	http.ResponseWriter
	point string
}

// Unwrap lets http.ResponseController reach the connection.
func (h *halfWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Write implements http.ResponseWriter.
func (h *halfWriter) Write(b []byte) (int, error) {
	n, err := h.ResponseWriter.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	_ = http.NewResponseController(h.ResponseWriter).Flush() // fails only for writers of tests
	if fault.Point(h.point) != nil {
		panic(http.ErrAbortHandler)
	}
	rest, err := h.ResponseWriter.Write(b[n:])
	return n + rest, err
}
