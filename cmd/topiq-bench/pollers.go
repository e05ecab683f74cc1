package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// The clients that wait, and how many of them are prepared at a time.
const (
	pollers       = 10_000
	pollersAtOnce = 64
	pollWait      = 60 // seconds
	pollSettle    = 2 * time.Second
)

// measureIdlePollers measures what a client costs that waits for a message, and whether a produce on another
// topic is slower while ten thousand wait: in each round without them and with them, on the same broker.
func measureIdlePollers(ctx context.Context, m *measurement, r *result) error {
	return m.withBroker(ctx, r.row.engine, func(b *broker) (err error) {
		topics, err := makeTopics(ctx, b.url)
		if err != nil {
			return err
		}
		least, err := m.leastOfEach(ctx, topics)
		if err != nil {
			return err
		}
		at := b
		if m.options.Apart {
			if at, err = m.startEmpty(ctx); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, at.stop()) }()
		}
		var each, alone, among, slower []float64
		for range m.options.Rounds {
			without, err := m.produceP99(ctx, b)
			if err != nil {
				return err
			}
			grown, with, err := m.amongPollers(ctx, b, at, topics)
			if err != nil {
				return err
			}
			each, alone, among = append(each, grown), append(alone, without), append(among, with)
			slower = append(slower, with/without)
		}
		r.facts = append(r.facts,
			factOf("each", "KB", each[:1]), // later ones find the memory of those before
			factOf("produce p99, among them ÷ alone", "", slower),
			factOf("produce p99 alone", "ms", alone), factOf("among them", "ms", among),
			factOf("a handler that only waits, each", "KB", []float64{least}))
		return nil
	})
}

// produceP99 is the p99 of 16 producers who together send a thousand messages a second.
func (m *measurement) produceP99(ctx context.Context, b *broker) (float64, error) {
	if err := pause(ctx, pollSettle); err != nil {
		return 0, err
	}
	report, err := m.topiqBench(ctx, "--url="+b.url, "--connections=16", "--rate=1000", "--duration=5s")
	return report.Topiq.Latency.P99, err
}

// amongPollers is produceP99 while clients wait somewhere, and by how many kilobytes the memory there has grown for each.
func (m *measurement) amongPollers(ctx context.Context, b, at *broker, topics []string) (each, p99 float64, err error) {
	each, waiting, err := at.memoryOfEach(ctx, topics)
	defer closeAll(waiting)
	if err != nil {
		return 0, 0, err
	}
	if p99, err = m.produceP99(ctx, b); err != nil {
		return 0, 0, err
	}
	return each, p99, stillWaiting(ctx, waiting)
}

// memoryOfEach opens the connections, and tells by how many kilobytes the memory of the process has grown for each.
func (b *broker) memoryOfEach(ctx context.Context, topics []string) (each float64, waiting []net.Conn, err error) {
	before, err := b.status("VmRSS")
	if err != nil {
		return 0, nil, err
	}
	if waiting, err = poll(ctx, b.url, topics); err != nil {
		return 0, waiting, err
	}
	if err := pause(ctx, pollSettle); err != nil {
		return 0, waiting, err
	}
	after, err := b.status("VmRSS")
	return (after - before) / pollers, waiting, err
}

// startEmpty starts the empty handler, where clients can wait too.
func (m *measurement) startEmpty(ctx context.Context) (*broker, error) {
	return m.start(ctx, "__empty", "--answer="+os.DevNull)
}

// leastOfEach measures the same with the empty handler, which waits as it is asked and does nothing else.
func (m *measurement) leastOfEach(ctx context.Context, topics []string) (each float64, err error) {
	b, err := m.startEmpty(ctx)
	if err != nil {
		return 0, err
	}
	each, waiting, err := b.memoryOfEach(ctx, topics)
	closeAll(waiting)
	return each, errors.Join(err, b.stop())
}

// makeTopics makes a topic for each client.
func makeTopics(ctx context.Context, url string) ([]string, error) {
	names := make([]string, pollers)
	transport := &http.Transport{MaxIdleConnsPerHost: pollersAtOnce}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return names, inParallel(ctx, func(i int) error {
		names[i] = fmt.Sprintf("idle-%d", i)
		body := strings.NewReader(`{"name":"` + names[i] + `"}`)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/topics", body)
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		// Read to its end, so that the connection is used again.
		_, err = io.Copy(io.Discard, answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		// The database may have them from an earlier run.
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusConflict {
			return fmt.Errorf("POST /topics: %s", answer.Status)
		}
		return nil
	})
}

// poll opens a connection for each topic, and sends a long poll on it.
func poll(ctx context.Context, url string, topics []string) ([]net.Conn, error) {
	host := strings.TrimPrefix(url, "http://")
	waiting := make([]net.Conn, len(topics))
	return waiting, inParallel(ctx, func(i int) error {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", host)
		if err != nil {
			return err
		}
		waiting[i] = c
		_, err = fmt.Fprintf(c, "GET /topics/%s/messages?offset=0&wait=%d HTTP/1.1\r\nHost: %s\r\n\r\n", topics[i], pollWait, host)
		return err
	})
}

// stillWaiting checks that no client has got an answer: one that was refused does not wait, and costs nothing.
func stillWaiting(ctx context.Context, waiting []net.Conn) error {
	return inParallel(ctx, func(i int) error {
		// A deadline that has passed would be looked at before what has come.
		if err := waiting[i].SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
		var b [200]byte
		n, err := waiting[i].Read(b[:])
		if n > 0 {
			return fmt.Errorf("a client that should wait was answered: %s", b[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("a client that should wait has lost its connection: %w", err)
		}
		return nil
	})
}

func closeAll(waiting []net.Conn) {
	for _, c := range waiting {
		if c != nil {
			_ = c.Close()
		}
	}
}

// inParallel calls a function for each client, and returns the first failure.
func inParallel(ctx context.Context, call func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for worker := range pollersAtOnce {
		workers.Go(func() {
			for i := worker; i < pollers && ctx.Err() == nil; i += pollersAtOnce {
				if err := call(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
