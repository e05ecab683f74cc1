package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// seeds returns the bodies, or the query strings, of the bad inputs.
func seeds(of string) []string {
	var list []string
	for _, input := range badInputs(1, 2, 3) {
		head, body, _ := strings.Cut(input.text, "\r\n\r\n")
		line, _, _ := strings.Cut(head, "\r\n")
		_, query, _ := strings.Cut(line, "?")
		query = strings.TrimSuffix(query, " HTTP/1.1")
		text := map[string]string{"body": body, "query": query}[of]
		if text != "" && len(text) < 4096 {
			list = append(list, text)
		}
	}
	return list
}

// FuzzProduceBody: whatever the body is, the answer is one that the document describes and no fault
// of ours; and what was stored is what was sent.
func FuzzProduceBody(f *testing.F) {
	for _, seed := range seeds("body") {
		f.Add([]byte(seed))
	}
	w := newWorld(f, nothing(), service.Limits{RequestBytes: 1 << 16})
	w.fill("orders")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/producer/produce", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		fuzzed(t, w, r)
	})
}

// FuzzQuery: the same for query strings.
func FuzzQuery(f *testing.F) {
	for _, seed := range seeds("query") {
		f.Add(seed)
	}
	w := newWorld(f, nothing(), service.Limits{})
	w.fill("orders")
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/topics", "/topics/orders/messages", "/consumer/consume", "/size", "/producer/client_size"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, http.NoBody)
			r.URL = &url.URL{Path: path, RawQuery: query}
			if strings.Contains(query, "wait") {
				continue // it would
			}
			fuzzed(t, w, r)
		}
	})
}

func fuzzed(t *testing.T, w *world, r *http.Request) {
	t.Helper()
	answer := httptest.NewRecorder()
	w.Handler.ServeHTTP(answer, r)
	if answer.Code >= 500 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
