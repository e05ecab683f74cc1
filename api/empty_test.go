package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
)

// TestEmptyHandlerDecodesAndAnswersTheSame: without the decoding it would be no limit of what the broker does.
func TestEmptyHandlerDecodesAndAnswersTheSame(t *testing.T) {
	t.Parallel()
	answer := `{"status":"success","filler":"` + strings.Repeat("x", 5000) + `"}`
	var kept atomic.Int64
	server := httptest.NewServer(api.NewEmptyHandler([]byte(answer), func(context.Context) error {
		kept.Add(1)
		return nil
	}))
	t.Cleanup(server.Close)
	begun := time.Now()
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/producer/produce", `{"topic":"a","producer_id":1,"message":"m"}`, http.StatusOK},
		{http.MethodPost, "/producer/produce", `{"topic":"a","producer_id":1,"messages":[{"message":"m"},{"message":"n"}]}`, http.StatusOK},
		{http.MethodPost, "/producer/produce", `{"topic":"a","producer_id":1,"message":"m","unknown":1}`, http.StatusBadRequest},
		{http.MethodPost, "/producer/produce", `{"topic":"a","producer_id":1,"message":"m"`, http.StatusBadRequest},
		{http.MethodPost, "/producer/produce", ``, http.StatusBadRequest},
		{http.MethodPost, "/consumer/consume", `{"topic":"a","consumer_id":1,"offset":4,"limit":100}`, http.StatusOK},
		{http.MethodPost, "/consumer/consume", `{"topic":"a","consumer_id":1,"message":"m"}`, http.StatusBadRequest},
		{http.MethodGet, "/topics/a/messages?offset=0", ``, http.StatusOK},
		{http.MethodGet, "/topics/a/messages?offset=0&wait=1", ``, http.StatusOK}, // a second later
		{http.MethodGet, "/topics/a/messages?offset=0&wait=x", ``, http.StatusInternalServerError},
		{http.MethodGet, "/topics", ``, http.StatusNotFound},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if closeErr := got.Body.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
		if got.StatusCode != c.status {
			t.Errorf("%s %s %s: %d, want %d", c.method, c.path, c.body, got.StatusCode, c.status)
		}
		if c.status == http.StatusOK && (string(body) != answer || got.Header.Get("Content-Length") != strconv.Itoa(len(answer))) {
			t.Errorf("%s %s: %d bytes, Content-Length %q", c.method, c.path, len(body), got.Header.Get("Content-Length"))
		}
	}
	if waited := time.Since(begun); waited < time.Second {
		t.Errorf("nothing waited for the second it was asked for, but %s", waited)
	}
	if got := kept.Load(); got != 3 {
		t.Errorf("%d bodies were to be kept, want 3", got)
	}
}
