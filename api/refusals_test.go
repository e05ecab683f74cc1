package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// TestTimes: a time is read alike in the query string and in a body.
func TestTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	id := w.fill("orders")
	for text, want := range map[string]int{
		"2026-01-01T00:00:00Z": ok, "2026-01-01T00:00:00.123456789Z": ok, "2026-01-01T00:00:00+01:00": ok, "2026-01-01T00:00:00-23:59": ok,
		"2026-01-01T0:00:00Z": malformed, "2026-01-01T00:00:00,5Z": malformed, "2026-01-01T00:00:00+99:99": malformed,
		"2026-01-01T00:00:00+24:00": malformed, "2026-01-01T00:00:00+00:60": malformed, "2026-01-01": malformed,
		"2026-02-30T00:00:00Z": malformed, "2026-01-01T00:00:00": malformed, "2026-01-01t00:00:00z": malformed, "": malformed,
	} {
		escaped := url.QueryEscape(text)
		for _, r := range []result{
			w.send(http.MethodPost, "/consumer/set_offset", fmt.Sprintf(`{"consumer_id":%d,"time":%q}`, id, text)),
			w.send(http.MethodPost, fmt.Sprintf("/consumer/set_offset?consumer_id=%d&time=%s", id, escaped), ""),
			w.send(http.MethodGet, "/topics/orders/messages?time="+escaped, ""),
		} {
			if r.status != want || want != ok && r.values["field"] != "time" {
				t.Errorf("%q: %d %s, want %d", text, r.status, r.text, want)
			}
		}
	}
}

// TestTooManyMessages: the limit that was passed is named, and is none of bytes.
func TestTooManyMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{Messages: 2})
	id := w.send(http.MethodPost, "/producer/register", `{"topic":"orders"}`).id("producer_id")
	r := w.send(http.MethodPost, "/producer/produce", produceBody(id, `,"messages":[{"message":"a"},{"message":"b"},{"message":"c"}]`))
	if want := `{"code":"request_too_large","message":"a request may have at most 2 messages","status":"failure"}`; r.status != tooLarge || r.text != want {
		t.Errorf("%d %s, want %s", r.status, r.text, want)
	}
	_, err := w.Broker.Produce(t.Context(), service.ProduceRequest{Topic: "orders", Producer: service.ProducerID(id), Payloads: make([]service.Payload, 3)})
	if err == nil || err.Error() != "request_too_large: a request may have at most 2 messages" {
		t.Errorf("without HTTP: %v", err)
	}
}

// TestSentences: a refusal is a sentence also where it cannot name what it is about.
func TestSentences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	id := w.fill("orders")
	for _, c := range []struct{ method, target, body, want string }{
		{"POST", "/topics", `{"":1}`, "a member or parameter is unknown"},
		{"POST", "/topics", `{"a b":1}`, "a member or parameter is unknown"},
		{"POST", "/topics", `{"topic_name":"x","a b":1}`, "a member or parameter is unknown"},
		{"POST", "/topics", `{"a b":1,"a b":1}`, "a member or parameter is unknown"},
		{"POST", "/topics?a+b=1", "", "a member or parameter is unknown"},
		{"POST", "/topics", `{"a b":null}`, "a member or parameter must not be null"},
		{"POST", "/topics", `{"a b":-0}`, "a member or parameter must not begin with -0"},
		{"POST", "/topics", `{"name":-0}`, "name: must not begin with -0"},
		{"POST", "/topics", `[null]`, "a value in the body must not be null"},
		{"POST", "/topics", `[-0]`, "a value in the body must not begin with -0"},
		{"POST", "/topics", `{"name":"x"]`, "the body is not valid JSON in UTF-8 at byte 11"},
		{"POST", "/topics", `{"name":}`, "name: is not valid JSON in UTF-8 at byte 8"},
		{"POST", "/topics", `x`, "the body is not valid JSON in UTF-8 at byte 0"},
		{"POST", "/topics", `1`, "the body must be a JSON object"},
		{"GET", "/size?=7", "", "a member or parameter is unknown"},
		{"GET", "/size?a+b=%ff", "", "a member or parameter is malformed"},
		{"GET", "/size?a+b=1&a+b=1", "", "a member or parameter is there twice"},
		{"GET", "/size?%ff=1", "", "a member or parameter is unknown"},
		{"GET", "/size", fmt.Sprintf(`{"consumer_id":%d,"a b":1}`, id), "a member or parameter is unknown"},
	} {
		r := w.send(c.method, c.target, c.body)
		if got, _ := r.values["message"].(string); r.code() != "invalid_request" || got != c.want {
			t.Errorf("%s %s %s: %d %s, want %q", c.method, c.target, c.body, r.status, r.text, c.want)
		}
		if _, named := r.values["field"]; named != !strings.HasPrefix(c.want, "a ") && !strings.HasPrefix(c.want, "the ") {
			t.Errorf("%s %s %s: %s", c.method, c.target, c.body, r.text)
		}
	}
}
