package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// BenchmarkProduceHandler is the handler's whole way of a produce, on a memory store and without a
// connection, beside an echo handler that does nothing. Run it with
//
//	go test -run xxx -bench ProduceHandler -benchmem ./api
func BenchmarkProduceHandler(b *testing.B) {
	empty := echo.New()
	empty.POST("/producer/produce", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	b.Cleanup(func() { _ = broker.Close(b.Context()) })
	producer, _, err := broker.RegisterProducer(b.Context(), "bench", "", "")
	if err != nil {
		b.Fatal(err)
	}
	handler := api.NewHandler(broker, api.Config{})
	id := strconv.FormatInt(int64(producer.ID), 10)
	text := string(bytes.Repeat([]byte{'x'}, 100))
	one := []byte(`{"topic":"bench","producer_id":` + id + `,"message":"` + text + `"}`)
	many := []byte(`{"topic":"bench","producer_id":` + id + `,"messages":[{"message":"` + text + `"}`)
	for range 99 {
		many = append(many, `,{"message":"`+text+`"}`...)
	}
	many = append(many, `]}`...)
	for _, c := range []struct {
		name    string
		handler http.Handler
		body    []byte
	}{
		{"empty echo", empty, one},
		{"1 message", handler, one},
		{"100 messages", handler, many},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkHandler(b, c.handler, c.body) })
	}
}

func benchmarkHandler(b *testing.B, handler http.Handler, body []byte) {
	b.Helper()
	b.ReportAllocs()
	request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "http://localhost/producer/produce", http.NoBody)
	request.Header.Set("Content-Type", "application/json")
	request.ContentLength = int64(len(body))
	reader := bytes.NewReader(body)
	request.Body = io.NopCloser(reader)
	for b.Loop() {
		reader.Reset(body)
		w := discard{header: http.Header{}}
		handler.ServeHTTP(&w, request)
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
}

// discard is a response writer that remembers the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) WriteHeader(status int)         { d.status = status }
func (*discard) Write(b []byte) (int, error)      { return len(b), nil }
func (*discard) SetReadDeadline(time.Time) error  { return nil }
func (*discard) SetWriteDeadline(time.Time) error { return nil }
