package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	if got := mustTopiq(t, "", "health", "--url="+b.url); got != "ready\n" {
		t.Errorf("wrote %q", got)
	}
	b.stop()
	if o := topiq(t, "", "health", "--url="+b.url); o.code != exitFailure || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("without a broker: %+v, want %d and one line", o, exitFailure)
	}
	for _, args := range [][]string{{"--url=nonsense"}, {"--timeout=0s"}, {"--client-cert=x"}} {
		if o := topiq(t, "", append([]string{"health"}, args...)...); o.code != exitUsage {
			t.Errorf("%s: %+v, want %d", args, o, exitUsage)
		}
	}
}

// A broker that cannot work, and one that says nothing, are not healthy, and are asked once.
func TestHealthOfBadBrokers(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if strings.HasPrefix(r.URL.Path, "/silent/") {
			<-release
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	defer close(release)
	for _, url := range []string{server.URL, server.URL + "/silent"} {
		if o := topiq(t, "", "health", "--timeout=1s", "--url="+url); o.code != exitFailure {
			t.Errorf("%s: %+v, want %d", url, o, exitFailure)
		}
	}
	if len(asked) > 2 {
		t.Errorf("asked %d times, want each once", len(asked))
	}
}
