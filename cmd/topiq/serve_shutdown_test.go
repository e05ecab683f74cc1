package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// gatedStore appends only when the gate is open.
type gatedStore struct {
	service.Store
	entered chan struct{}
	gate    chan struct{}
	closed  atomic.Bool
}

// Append implements service.Store.
func (s *gatedStore) Append(ctx context.Context, requests []service.AppendRequest, now time.Time) (service.AppendPlan, error) {
	s.entered <- struct{}{}
	<-s.gate
	return s.Store.Append(ctx, requests, now)
}

// Close implements service.Store.
func (s *gatedStore) Close() error {
	s.closed.Store(true)
	return s.Store.Close()
}

// gated is a server on a gatedStore that somebody produces to and somebody polls.
type gated struct {
	store     *gatedStore
	url       string
	produced  chan error
	polled    chan error
	shutDown  func(timeout time.Duration) error
	listening func() bool
}

func startGated(t *testing.T) gated {
	t.Helper()
	store := &gatedStore{Store: memory.New(memory.Config{}), entered: make(chan struct{}, 16), gate: make(chan struct{})}
	b := service.NewBroker(store, service.Config{})
	// One for each request that is in the handler. The server's own hook tells of a request before it looks for the last
	// time whether to serve it.
	active, handler := make(chan struct{}, 64), api.NewHandler(b, api.Config{})
	server := api.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		active <- struct{}{}
		handler.ServeHTTP(w, r)
	}), api.Config{})
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	g := gated{store: store, url: "http://" + listener.Addr().String(), produced: make(chan error, 1), polled: make(chan error, 1)}
	g.shutDown = func(timeout time.Duration) error {
		return (&serveCommand{ShutdownTimeout: timeout}).shutDown(t.Context(), server, b, served)
	}
	g.listening = func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	c, err := client.New(g.url, client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	producer, err := c.Producer(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := producer.Send(t.Context(), client.Text("x"))
		g.produced <- err
	}()
	<-store.entered
	for len(active) > 0 {
		<-active
	}
	go func() { g.polled <- poll(t.Context(), g.url) }()
	<-active
	return g
}

// poll asks for the message after the end and waits a minute for it.
func poll(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/topics/t/messages?offset=0&wait=60", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// TestShutDownFinishesWhatIsQueued checks the order of the end: nobody comes in, what was begun is
// committed and answered, long polls end, and then only the store is closed.
func TestShutDownFinishesWhatIsQueued(t *testing.T) {
	t.Parallel()
	g := startGated(t)
	ended := make(chan error, 1)
	go func() { ended <- g.shutDown(time.Minute) }()
	for g.listening() {
		if g.store.closed.Load() {
			t.Fatal("the store is closed while the broker listens")
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with a commit under way: %v", err)
	case err := <-g.produced:
		t.Fatalf("answered before the commit: %v", err)
	default:
	}
	close(g.store.gate)
	if err := <-g.produced; err != nil {
		t.Errorf("the message that was queued: %v", err)
	}
	if err := <-g.polled; err != nil {
		t.Errorf("the long poll was cut off: %v", err)
	}
	if err := <-ended; err != nil || !g.store.closed.Load() {
		t.Errorf("the end: %v; store closed: %v", err, g.store.closed.Load())
	}
}

func TestShutDownHasADeadline(t *testing.T) {
	t.Parallel()
	g := startGated(t)
	err := g.shutDown(50 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "not everything was finished within 50ms") {
		t.Errorf("shut down with a commit that hangs: %v", err)
	}
	if err := <-g.produced; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("the message whose commit hangs: %v, want that its outcome is unknown", err)
	}
	close(g.store.gate)
}

// TestSignalsUnderLoad ends a broker that many produce to. Whatever was acknowledged is there afterwards.
func TestSignalsUnderLoad(t *testing.T) {
	t.Parallel()
	store := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
	b := serve(t, store)
	const producers = 8
	ctx, cancel := context.WithCancel(t.Context()) // ends with the broker: a producer would wait for it
	go func() {
		defer cancel()
		<-b.ended
	}()
	acknowledged := make([]int, producers)
	var running sync.WaitGroup
	enough := make(chan struct{})
	var total atomic.Int64
	for i := range producers {
		running.Go(func() {
			c, err := client.New(b.url, client.WithRetry(client.Retry{Attempts: 1}))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			p, err := c.Producer(ctx, "t")
			if err != nil {
				return // the others were fast
			}
			for n := 0; ; n++ {
				if _, err := p.Send(ctx, client.Text(fmt.Sprintf("%d %d", i, n))); err != nil {
					return
				}
				acknowledged[i]++
				if total.Add(1) == 200 {
					close(enough)
				}
			}
		})
	}
	<-enough
	b.terminate(t)
	if code := b.wait(t); code != exitOK {
		t.Errorf("exit code %d; stderr:\n%s", code, b.stderr.String())
	}
	running.Wait()

	got := map[string]int{}
	for line := range strings.Lines(mustTopiq(t, "", "consume", "t", "--url="+serve(t, store).url)) {
		got[strings.TrimSuffix(line, "\n")]++
	}
	for i, n := range acknowledged {
		for n := range n {
			if text := fmt.Sprintf("%d %d", i, n); got[text] != 1 {
				t.Errorf("%q was acknowledged and is there %d times", text, got[text])
			}
		}
	}
}

// TestSecondSignalEndsAtOnce checks that a broker that waits for somebody can be ended all the same.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	b := serve(t, "memory:", "--shutdown-timeout=1h", "--read-body-seconds=3600")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// Half of a request, of which the rest never comes. That it was taken up is known by the 100.
	if _, err := fmt.Fprintf(conn, "POST /topics HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", conn.RemoteAddr()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		b.terminate(t)
		select {
		case <-b.ended:
			if code := b.wait(t); code != -1 {
				t.Errorf("exit code %d, want the end by a signal; stderr:\n%s", code, b.stderr.String())
			}
			return
		case <-again.C:
		}
	}
}
