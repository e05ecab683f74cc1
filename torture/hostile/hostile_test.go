package hostile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db"
	"github.com/topiq/topiq/service"

	"github.com/topiq/topiq/torture/hostile"
)

// serve runs the real server over a store in memory, with short times, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := db.Open(t.Context(), "memory:", db.Config{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	broker := service.NewBroker(store, service.Config{Logger: log})
	config := api.Config{Logger: log, HeaderTimeout: time.Second, BodyTimeout: time.Second}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.NewHandler(broker, config), config)
	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listen(listener, config)) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := broker.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func call(t *testing.T, addr, path string, body map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+addr+path, "application/json", bytes.NewReader(raw)) //nolint:noctx // a test has a limit
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %v", path, resp.StatusCode, answer, err)
	}
	return answer
}

func TestInputsAreRefused(t *testing.T) {
	t.Parallel()
	addr := serve(t)
	id, _ := call(t, addr, "/producer/register", map[string]any{"topic": "t"})["producer_id"].(float64)
	for _, input := range hostile.Inputs("t", int64(id)) {
		t.Run(input.Name, func(t *testing.T) {
			t.Parallel()
			if err := input.Check(t.Context(), addr); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWrongAnswerIsSeen checks the checker.
func TestWrongAnswerIsSeen(t *testing.T) {
	t.Parallel()
	input := hostile.Input{Name: "fine", Text: "GET /healthz HTTP/1.1\r\nHost: %HOST%\r\n\r\n", Want: []int{http.StatusBadRequest}}
	if err := input.Check(t.Context(), serve(t)); err == nil {
		t.Error("200 passed for 400")
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	addr := serve(t)
	id := call(t, addr, "/producer/register", map[string]any{"topic": "t"})["producer_id"]
	for range 12 {
		call(t, addr, "/producer/produce", map[string]any{"topic": "t", "producer_id": id, "message": strings.Repeat("x", 1<<20)})
	}
	for _, kind := range hostile.SlowKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			got := hostile.BeSlow(t.Context(), kind, addr, "t", 3, 2*time.Minute)
			if got.Cut != 3 {
				t.Error(got)
			}
		})
	}
}

// TestPatientBrokerIsSeen has clients whose time is over before the broker cuts them.
func TestPatientBrokerIsSeen(t *testing.T) {
	t.Parallel()
	addr := serve(t)
	for _, kind := range hostile.SlowKinds() {
		got := hostile.BeSlow(t.Context(), kind, addr, "none", 2, 200*time.Millisecond)
		if got.Uncut != 2 || !strings.Contains(got.String(), "NEVER") {
			t.Errorf("%s", got)
		}
	}
}
