package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/db/postgres/pgtest"
)

const (
	orderProducers = 10
	orderMessages  = 1000 // of each producer
	orderConsumers = 10
)

func TestEveryConsumerSeesTheSameOrder(t *testing.T) {
	t.Parallel()
	for name, url := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := broker(t, url(t))
			checkOrder(t, address, address)
		})
	}
	t.Run("two brokers on one postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.URL(t)
		checkOrder(t, broker(t, url), broker(t, url))
	})
}

// checkOrder lets producers and consumers, spread over two brokers, work on one topic at the same
// time: every consumer sees the same messages at the same offsets, without a hole, and each
// producer's in the order it sent them.
func checkOrder(t *testing.T, brokers ...string) {
	t.Helper()
	clients := make([]*client.Client, len(brokers))
	for i, address := range brokers {
		c, err := client.New(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		clients[i] = c
	}
	if err := clients[0].CreateTopic(t.Context(), "order"); err != nil {
		t.Fatal(err)
	}
	seen := make([][]string, orderConsumers)
	var running sync.WaitGroup
	for i := range seen {
		running.Go(func() { seen[i] = consumeAll(t, clients[i%len(clients)]) })
	}
	for i := range orderProducers {
		running.Go(func() { produceAll(t, clients[i%len(clients)], fmt.Sprintf("p%d", i)) })
	}
	running.Wait()
	for i := range seen {
		if !slices.Equal(seen[i], seen[0]) {
			t.Errorf("consumer %d saw another order than consumer 0", i)
		}
	}
	next := map[string]int{}
	for offset, text := range seen[0] {
		var name string
		var line int
		if _, err := fmt.Sscanf(text, "%s %d", &name, &line); err != nil {
			t.Fatal(err)
		}
		if line != next[name] {
			t.Fatalf("offset %d holds %q, want line %d of it", offset, text, next[name])
		}
		next[name]++
	}
	if len(seen[0]) != orderProducers*orderMessages {
		t.Errorf("%d messages, want %d", len(seen[0]), orderProducers*orderMessages)
	}
}

func produceAll(t *testing.T, c *client.Client, name string) {
	t.Helper()
	p, err := c.Producer(t.Context(), "order", client.Name(name))
	if err != nil {
		t.Error(err)
		return
	}
	sizes := []int{1, 5, 25, 2, 10}
	for line, round := 0, 0; line < orderMessages; round++ {
		batch := make([]client.Message, min(sizes[round%len(sizes)], orderMessages-line))
		for i := range batch {
			batch[i] = client.Text(fmt.Sprintf("%s %d", name, line+i))
		}
		if _, err := p.SendBatch(t.Context(), batch); err != nil {
			t.Errorf("%s: line %d: %v", name, line, err)
			return
		}
		line += len(batch)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// consumeAll returns the messages in the order of one consumer, checking that offsets are dense.
func consumeAll(t *testing.T, c *client.Client) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	consumer, err := c.Consumer(ctx, []string{"order"})
	if err != nil {
		t.Error(err)
		return nil
	}
	var messages []string
	for m, err := range consumer.Messages(ctx) {
		if err != nil {
			t.Error(err)
			break
		}
		if m.Offset != int64(len(messages)) {
			t.Errorf("offset %d comes after %d messages", m.Offset, len(messages))
			break
		}
		messages = append(messages, string(m.Value))
		if len(messages) == orderProducers*orderMessages {
			break
		}
	}
	if err := consumer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return messages
}
