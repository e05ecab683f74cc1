//go:build !race

package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestAllocationBudgets guards the hot paths against going back: how often memory is taken for a message
// depends on no clock. The budgets are a tenth above what was counted; the race detector counts otherwise. Each request
// is a group of its own here, which is the worst case: with many producers they share what a group costs.
//
//nolint:paralleltest // what others allocate would be counted
func TestAllocationBudgets(t *testing.T) {
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	t.Cleanup(func() { _ = broker.Close(t.Context()) })
	producer, _, err := broker.RegisterProducer(t.Context(), "budget", "", "")
	if err != nil {
		t.Fatal(err)
	}
	consumer, _, err := broker.RegisterConsumer(t.Context(), "budget", "", service.FromBeginning)
	if err != nil {
		t.Fatal(err)
	}
	handler := api.NewHandler(broker, api.Config{})
	message := `{"message":"` + strings.Repeat("x", 100) + `"}`
	produce := `{"topic":"budget","producer_id":` + strconv.FormatInt(int64(producer.ID), 10)
	consume := `{"topic":"budget","consumer_id":` + strconv.FormatInt(int64(consumer.ID), 10)
	for _, c := range []struct {
		name, path, body string
		most             float64
	}{
		{"produce one", "/producer/produce", produce + "," + message[1:], 60},
		{"produce 100", "/producer/produce", produce + `,"messages":[` + strings.TrimSuffix(strings.Repeat(message+",", 100), ",") + "]}", 285},
		{"consume one", "/consumer/consume", consume + "}", 51},
		{"consume 100 by offset", "/consumer/consume", consume + `,"offset":1000,"limit":100}`, 51},
	} {
		// The first ones fill the topic and warm up what is pooled.
		for range 20 {
			callHandler(t, handler, c.path, c.body)
		}
		if got := testing.AllocsPerRun(200, func() { callHandler(t, handler, c.path, c.body) }); got > c.most {
			t.Errorf("%s: %.0f allocations, and the budget is %.0f", c.name, got, c.most)
		} else {
			t.Logf("%s: %.0f allocations", c.name, got)
		}
	}
}

// TestAllocationBudgetOfWaiting: a long poll needs a stack of 8 KB at most, also where its topic was not known before, beside
// the 2 KB of the goroutine that watches its connection. Stacks come in powers of two, and a little more takes 8 KB more.
//
//nolint:paralleltest // the stacks of others would be counted
func TestAllocationBudgetOfWaiting(t *testing.T) {
	const polls, budget = 500, 14_000
	store := memory.New(memory.Config{})
	for i := range polls {
		if _, err := store.CreateTopic(t.Context(), service.NewTopic{Name: service.TopicName("idle-" + strconv.Itoa(i)), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	broker := service.NewBroker(store, service.Config{})
	listener, config := newPipes(), api.Config{}
	server := api.NewServer(api.NewHandler(broker, config), config)
	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listen(listener, config)) }()

	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it has a say in how large a stack is to begin with
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range polls {
		conn := listener.dial()
		defer conn.Close() //nolint:errcheck // a test's connection
		if _, err := fmt.Fprintf(conn, "GET /topics/idle-%d/messages?offset=0&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for broker.Stats().Waiting.Requests < polls {
		<-look.C
	}
	runtime.ReadMemStats(&after)
	each := (int64(after.StackInuse) - int64(before.StackInuse)) / polls
	if t.Logf("a waiting poll has %d bytes of stack", each); each > budget {
		t.Errorf("a waiting poll has %d bytes of stack, and the budget is %d", each, budget)
	}
	if err := errors.Join(broker.Close(t.Context()), server.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func callHandler(t *testing.T, handler http.Handler, path, body string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+path, http.NoBody)
	request.Header.Set("Content-Type", "application/json")
	request.ContentLength, request.Body = int64(len(body)), io.NopCloser(bytes.NewReader([]byte(body)))
	w := discard{header: http.Header{}}
	handler.ServeHTTP(&w, request)
	if w.status != http.StatusOK {
		t.Fatalf("%s: status %d", path, w.status)
	}
}
