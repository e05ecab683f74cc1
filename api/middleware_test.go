package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.text.String(), "\n"), "\n")[:strings.Count(l.text.String(), "\n")]
}

func (l *logbook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// TestPanic: a panic in a handler is a failure of its request alone, and is logged with the stack.
func TestPanic(t *testing.T) {
	t.Parallel()
	var log logbook
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	t.Cleanup(func() { _ = broker.Close(context.Background()) })
	handler := api.NewHandler(broker, api.Config{Logger: log.logger(slog.LevelInfo)})
	begun := false
	api.Replace(handler, http.MethodGet, "/info", func(w http.ResponseWriter, _ *http.Request) {
		if begun {
			_, _ = io.WriteString(w, "half an ")
		}
		panic("no way out")
	})
	server := &world{tb: t, Server: serve(t, handler), client: &http.Client{Transport: &http.Transport{}}}
	r := server.send(http.MethodGet, "/info", "")
	if r.status != http.StatusInternalServerError || r.code() != "internal" || strings.Contains(r.text, "no way") {
		t.Errorf("a panic answers %d %s", r.status, r.text)
	}
	lines := log.lines()
	id, _ := r.values["request_id"].(string)
	if len(lines) != 1 || id == "" {
		t.Fatalf("logged: %q", lines)
	}
	for _, want := range []string{"level=ERROR", "no way out", "middleware_test.go", "request_id=" + id, "operation=info"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the log lacks %s: %s", want, lines[0])
		}
	}
	if r := server.send(http.MethodGet, "/healthz", ""); r.status != http.StatusOK {
		t.Errorf("after a panic: %d %s", r.status, r.text)
	}
	begun = true
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/info", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.client.Do(request)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("a panic in the middle of an answer did not break it off")
	}
	// The client may have tried again.
	if lines := log.lines(); len(lines) < 2 || !strings.Contains(lines[1], "level=ERROR") || !strings.Contains(lines[1], "stack=") {
		t.Errorf("logged: %q", lines)
	}
}

// serve serves a handler as it is, without the checks of apitest.
func serve(t *testing.T, handler http.Handler) *apitest.Server {
	t.Helper()
	server := newHTTPServer(t, handler, api.Config{})
	return &apitest.Server{URL: server.URL, Handler: handler, HTTP: server}
}

// TestLog: what an operator has to know is logged once, and what clients do wrong is not.
func TestLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault error
		level string // "" is no line
	}{
		{errors.New("the disk is on fire"), "ERROR"},
		{service.ErrInternal.Because(errors.New("the disk is on fire")), "ERROR"},
		{service.ErrUnavailable.Because(errors.New("the disk is on fire")), "WARN"},
		{service.ErrOutcomeUnknown.Because(errors.New("the disk is on fire")), "WARN"},
		{service.ErrStorageFull.Because(errors.New("the disk is on fire")), "WARN"},
		{service.ErrOverloaded, ""},
		{service.ErrTopicExists, ""},
	} {
		var log logbook
		w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Logger: log.logger(slog.LevelInfo)}))
		w.fault.Store(&c.fault)
		r := w.send(http.MethodPost, "/topics", `{"name":"orders"}`)
		w.fault.Store(nil)
		if strings.Contains(r.text, "fire") {
			t.Errorf("%v: the cause is told to the client: %s", c.fault, r.text)
		}
		lines := log.lines()
		if c.level == "" {
			if len(lines) > 0 {
				t.Errorf("%v: logged %q", c.fault, lines)
			}
			continue
		}
		if len(lines) != 1 || !strings.Contains(lines[0], "level="+c.level) || strings.Count(lines[0], "the disk is on fire") != 1 {
			t.Errorf("%v: logged %q", c.fault, lines)
		}
	}
}

// TestAccessLog: at debug, one line for each request; what came in cannot forge one.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log logbook
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Logger: log.logger(slog.LevelDebug)}))
	before := len(log.lines())
	w.send(http.MethodGet, "/topics/%0alevel=ERROR%1b[31m", "")
	w.send(http.MethodPost, "/producer/register", "{\"a\\r\\nlevel=ERROR\":1}")
	lines := log.lines()[before:]
	if len(lines) != 4 { // each is refused, which is a line too
		t.Errorf("logged %q", lines)
	}
	for _, line := range lines {
		if !strings.Contains(line, "level=DEBUG") || strings.Contains(line, "level=ERROR") {
			t.Errorf("logged %q", line)
		}
	}
}

// TestAccessLogAtInfo: one line for each request that tells how it was answered, and nothing that came in.
func TestAccessLogAtInfo(t *testing.T) {
	t.Parallel()
	var log logbook
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Logger: log.logger(slog.LevelInfo), AccessLog: true}))
	before := len(log.lines())
	w.send(http.MethodGet, "/topics/secret-topic?token=secret", "", "Authorization", "Bearer secret")
	w.send(http.MethodGet, "/topics", "")
	lines := log.lines()[before:]
	if len(lines) != 2 {
		t.Fatalf("logged %q", lines)
	}
	for i, wanted := range [][]string{
		{"level=INFO", "operation=describeTopic", "status=400", "code=invalid_request"},
		{"level=INFO", "operation=listTopics", "status=200"},
	} {
		for _, text := range wanted {
			if !strings.Contains(lines[i], text) || strings.Contains(lines[i], "secret") {
				t.Errorf("logged %q, want %s", lines[i], text)
			}
		}
	}
}

// TestClientGone: when the client goes away nothing above debug is logged.
func TestClientGone(t *testing.T) {
	t.Parallel()
	var log logbook
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Logger: log.logger(slog.LevelInfo)}))
	w.fill("orders")
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+"/topics/orders/messages?offset=3&wait=60", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		response, err := w.client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			t.Error("an answer to a request that was given up")
		}
	}()
	cancel()
	<-ended
	if lines := log.lines(); len(lines) > 0 {
		t.Errorf("logged %q", lines)
	}
}
