package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
)

// traffic watches the requests of the SDK on their way, for only there can be seen what was under
// way when a broker was killed: the SDK repeats a request until it is answered, and its caller
// learns nothing of it.
type traffic struct {
	next *http.Transport
	// started has room for one, and an entry whenever a request to produce has begun.
	started chan struct{}

	mu        sync.Mutex
	producing int // requests to produce that are under way
	count     trafficCount
}

// trafficCount counts requests to produce, each attempt on its own.
type trafficCount struct {
	Requests   int `json:"requests"`
	Unanswered int `json:"unanswered"` // the connection was lost after it had been opened
	NoBroker   int `json:"no_broker"`  // it could not be opened
	Refused    int `json:"refused"`    // answered with something other than success
}

// connectionsPerBroker are kept open although nothing is under way on them.
const connectionsPerBroker = 256

// newTraffic trusts what the system trusts where trust is nil.
func newTraffic(trust *tls.Config) *traffic {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // see client.WithHTTPClient
	return &traffic{
		next: &http.Transport{
			Proxy: http.ProxyFromEnvironment, Protocols: protocols, DisableCompression: true, TLSClientConfig: trust,
			MaxIdleConns: connectionsPerBroker, MaxIdleConnsPerHost: connectionsPerBroker,
		},
		started: make(chan struct{}, 1),
	}
}

// RoundTrip implements http.RoundTripper.
func (t *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/producer/produce") {
		return t.next.RoundTrip(r)
	}
	t.mu.Lock()
	t.producing++
	t.count.Requests++
	t.mu.Unlock()
	select {
	case t.started <- struct{}{}:
	default:
	}
	response, err := t.next.RoundTrip(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.producing--
	var failed *net.OpError
	switch {
	case err == nil && response.StatusCode != http.StatusOK:
		t.count.Refused++
	case err == nil || errors.Is(err, context.Canceled):
	case errors.As(err, &failed) && failed.Op == "dial":
		t.count.NoBroker++
	default:
		t.count.Unanswered++
	}
	return response, err
}

// now is what is under way, and what has been counted.
func (t *traffic) now() (producing int, count trafficCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.producing, t.count
}

// nextProduce waits until a request to produce begins. It returns false if done is closed or ctx
// ends before.
func (t *traffic) nextProduce(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-t.started: // of long ago
	default:
	}
	select {
	case <-t.started:
		return true
	case <-done:
	case <-ctx.Done():
	}
	return false
}

func (t *traffic) close() { t.next.CloseIdleConnections() }
