package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// fuzzWorld is a world with the bad inputs for it: their bodies, or their query strings. Ids are the
// same in every process that fuzzes.
func fuzzWorld(f *testing.F, of string, limits service.Limits) (*world, []string) {
	f.Helper()
	w := newWorld(f, nothing(), limits)
	consumer := w.fill("orders")
	producer := w.send(http.MethodPost, "/producer/register", `{"topic":"orders"}`).id("producer_id")
	shop := w.send(http.MethodGet, "/producer/state?topic=orders&prod_name=shop", "").id("producer_id")
	var list []string
	for _, input := range badInputs(producer, shop, consumer) {
		head, body, _ := strings.Cut(input.text, "\r\n\r\n")
		line, _, _ := strings.Cut(head, "\r\n")
		_, query, _ := strings.Cut(line, "?")
		query = strings.TrimSuffix(query, " HTTP/1.1")
		text := map[string]string{"body": body, "query": query}[of]
		if text != "" && len(text) < 4096 {
			list = append(list, text)
		}
	}
	return w, list
}

// FuzzProduceBody: whatever the body is, the answer is one that the document describes and no fault
// of ours, and what succeeds is what the document describes.
func FuzzProduceBody(f *testing.F) {
	w, seeds := fuzzWorld(f, "body", service.Limits{RequestBytes: 1 << 16})
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/producer/produce", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		fuzzed(t, w, r)
	})
}

// FuzzQuery: the same for query strings.
func FuzzQuery(f *testing.F) {
	w, seeds := fuzzWorld(f, "query", service.Limits{})
	for _, seed := range seeds {
		f.Add(seed)
	}
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
