package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// TestRequestsAreCounted: each under its operation and code, also those that are refused before either is
// known.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	w.send(http.MethodGet, "/topics", "")
	w.send(http.MethodGet, "/topics", "")
	w.send(http.MethodGet, "/topics/nope", "")
	w.send(http.MethodGet, "/nope", "")
	w.send(http.MethodGet, "/info", "", "Host", "evil.test")
	w.send(http.MethodPost, "/topics", "{")
	text := "\n" + w.send(http.MethodGet, "/metrics", "").text
	for _, line := range []string{
		`topiq_requests_total{code="ok",operation="listTopics"} 2`,
		`topiq_requests_total{code="topic_not_found",operation="describeTopic"} 1`,
		`topiq_requests_total{code="not_found",operation="none"} 1`,
		`topiq_requests_total{code="host_not_allowed",operation="none"} 1`,
		`topiq_requests_total{code="invalid_request",operation="createTopic"} 1`,
		`topiq_requests_total{code="ok",operation="createTopic"} 0`,
		`topiq_request_seconds_count{operation="listTopics"} 2`,
		`topiq_requests_in_flight 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}
