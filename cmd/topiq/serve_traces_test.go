package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// fakeCollector takes spans by OTLP, and answers with a status.
type fakeCollector struct {
	status int

	mu    sync.Mutex
	spans []string // their names, behind that of the service
}

// ServeHTTP implements http.Handler.
func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		var service string
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, service+": "+span.GetName())
			}
		}
	}
	w.WriteHeader(c.status)
}

// listen starts a collector and returns its address.
func (c *fakeCollector) listen(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server.URL
}

// produceTraced starts a broker that sends its spans away, produces by it, and stops it.
func produceTraced(t *testing.T) serving {
	t.Helper()
	b := serve(t, "memory:", "--traces=otlp")
	mustTopiq(t, "Hello\n", "produce", "orders", "--url="+b.url)
	b.terminate(t)
	if code := b.wait(t); code != exitOK {
		t.Errorf("exit code %d, stderr:\n%s", code, b.stderr.String())
	}
	return b
}

func TestServeSendsSpans(t *testing.T) {
	c := &fakeCollector{status: http.StatusOK}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.listen(t))
	b := produceTraced(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, want := range []string{"POST /producer/produce", "queue", "commit", "group append"} {
		if !slices.Contains(c.spans, "topiq: "+want) {
			t.Errorf("the collector got %q, want also %q", c.spans, want)
		}
	}
	if strings.Contains(b.stderr.String(), "not sent") {
		t.Errorf("stderr:\n%s", b.stderr.String())
	}
}

// A collector that takes nothing is told of, and is no failure of the broker.
func TestServeWithoutCollector(t *testing.T) {
	c := &fakeCollector{status: http.StatusForbidden}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.listen(t))
	b := produceTraced(t)
	if !strings.Contains(b.stderr.String(), "spans were not sent") {
		t.Errorf("nothing was logged; stderr:\n%s", b.stderr.String())
	}
}
