package main

import (
	"context"
	"strconv"
	"time"
)

// nearEnd is how far from the end of a topic --way=offset begins. The broker has so many messages of it
// in memory, and somewhat more. --way=history keeps that far from the end.
const nearEnd = 4000

// preloadBytes bounds a request of what is produced beforehand.
const preloadBytes = 4 << 20

// prepareConsume produces what is to be read, and registers the consumers.
func (b *bench) prepareConsume() error {
	c := b.command
	ends := make([]int64, c.Topics)
	err := inParallel(b.running, c.Topics, func(ctx context.Context, topic int) (err error) {
		ends[topic], err = b.preload(ctx, topic)
		return err
	})
	if err != nil {
		return err
	}
	workers := make([]benchWorker, c.Connections)
	err = inParallel(b.running, c.Connections, func(ctx context.Context, i int) error {
		conn, err := b.setup.connect(b.setup.url(i))
		if err != nil {
			return err
		}
		r := reader{conn: conn, payload: c.PayloadBytes}
		switch c.Way {
		case "history":
			workers[i] = c.historyWorker(b.setup, i, r, ends)
		case "offset":
			workers[i], err = c.offsetWorker(ctx, b.setup, i, r, ends)
		default:
			workers[i], err = c.plainWorker(ctx, b.setup, i, r)
		}
		return err
	})
	if err != nil {
		return err
	}
	b.addLoad("topiq", workers)
	if !c.Limit {
		return nil
	}
	if c.Way == "history" && c.onPostgres() {
		if err := b.addSelect(ends); err != nil {
			return err
		}
	}
	if err := b.addEmpty(workers); err != nil {
		return err
	}
	if c.Way == "plain" && c.onPostgres() {
		return b.addOneCommit(workers, "--positions", strconv.Itoa(c.Connections))
	}
	return nil
}

// preload fills a topic and returns its end.
func (b *bench) preload(ctx context.Context, topic int) (end int64, err error) {
	c, name := b.command, b.setup.topic(topic)
	conn, err := b.setup.connect(b.setup.url(topic))
	if err != nil {
		return 0, err
	}
	defer conn.close()
	r, err := b.setup.producer(ctx, topic, name, "bench-preload")
	if err != nil {
		return 0, err
	}
	want := int64(max(1, c.Preload/c.Topics))
	const around = 64 // of each message in a request
	batch := int(min(1000, want, max(1, int64(preloadBytes/(c.PayloadBytes+around)))))
	w := &produceWorker{
		conn: conn, batch: batch, payload: c.PayloadBytes,
		slots: []produceSlot{newProduceSlot(name, r, "bench-preload", batch, c.PayloadBytes)},
	}
	for failures := 0; end < want; end = w.slots[0].last + 1 {
		_, err := w.do(ctx, time.Now())
		if err == nil {
			failures = 0
			continue
		}
		if _, passes := passing(err); !passes || failures == maxFailures {
			return 0, err
		}
		failures++
		if err := pause(ctx, failurePause); err != nil {
			return 0, err
		}
	}
	return end, nil
}
