package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// benchSetup prepares a run on a broker, and cleans up after it: requests whose time is not measured.
type benchSetup struct {
	urls   []string // of brokers on one store
	prefix string   // what the names of the topics begin with
	access benchAccess
}

// setupCalls is how many of these requests are made at the same time.
const setupCalls = 16

// registration is the answer to both registers.
type registration struct {
	ProducerID int64 `json:"producer_id"`
	ConsumerID int64 `json:"consumer_id"`
	Epoch      int64 `json:"epoch"`
	NextSeq    int64 `json:"next_seq"`
	Offset     int64 `json:"offset"`
}

// call makes one request, on a connection of its own.
func (s *benchSetup) call(ctx context.Context, address, method, path string, body, answer any) error {
	c, err := s.connect(address)
	if err != nil {
		return err
	}
	defer c.close()
	text := []byte{}
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	status, got, err := c.exchange(ctx, append(requestHead(nil, method, path, c, len(text)), text...))
	if err == nil {
		err = succeeded(status, got)
	}
	if err != nil {
		return fmt.Errorf("%s %s%s: %w", method, address, path, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}

// connect makes a connection to a broker, which is dialled when it is used.
func (s *benchSetup) connect(address string) (*benchConn, error) {
	c, err := newBenchConn(address)
	if err == nil {
		c.access = s.access
	}
	return c, err
}

// requestHead appends the head of a request that a connection is to send.
func requestHead(to []byte, method, path string, by *benchConn, length int) []byte {
	to = append(to, method...)
	to = append(to, ' ')
	to = append(to, path...)
	to = append(to, " HTTP/1.1\r\nHost: "...)
	to = append(to, by.host...)
	if by.access.token != "" {
		to = append(to, "\r\nAuthorization: Bearer "...)
		to = append(to, by.access.token...)
	}
	if method != http.MethodGet {
		to = append(to, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		to = strconv.AppendInt(to, int64(length), 10)
	}
	return append(to, "\r\n\r\n"...)
}

// topic is the name of one of the topics of the run.
func (s *benchSetup) topic(i int) string { return fmt.Sprintf("%s-%d", s.prefix, i) }

// url is the broker of a connection.
func (s *benchSetup) url(connection int) string { return s.urls[connection%len(s.urls)] }

func (s *benchSetup) producer(ctx context.Context, connection int, topic, name string) (r registration, err error) {
	body := map[string]string{"topic": topic}
	if name != "" {
		body["prod_name"] = name
	}
	err = s.call(ctx, s.url(connection), http.MethodPost, "/producer/register", body, &r)
	return r, err
}

// consumer registers a consumer at a place: beginning, end, or an offset.
func (s *benchSetup) consumer(ctx context.Context, connection int, topic, from string) (r registration, err error) {
	err = s.call(ctx, s.url(connection), http.MethodPost, "/consumer/register", map[string]string{"topic": topic, "from": from}, &r)
	return r, err
}

// end is the end of a topic.
func (s *benchSetup) end(ctx context.Context, topic string) (int64, error) {
	var state struct {
		NextOffset int64 `json:"next_offset"`
	}
	err := s.call(ctx, s.urls[0], http.MethodGet, "/topics/"+topic, nil, &state)
	return state.NextOffset, err
}

// deleteTopics takes back what the run has made. A topic that was never made is no failure.
func (s *benchSetup) deleteTopics(ctx context.Context, topics int) error {
	return inParallel(ctx, topics, func(ctx context.Context, i int) error {
		err := s.call(ctx, s.url(i), http.MethodDelete, "/topics/"+s.topic(i), nil, nil)
		if err != nil && strings.Contains(err.Error(), "topic_not_found") {
			return nil
		}
		return err
	})
}

// brokerInfo is what GET /info tells of a broker.
type brokerInfo struct {
	Version    string   `json:"version"`
	Engine     string   `json:"engine"`
	Durability string   `json:"durability"`
	Unsafe     []string `json:"unsafe"`
}

func (s *benchSetup) info(ctx context.Context) (info brokerInfo, err error) {
	err = s.call(ctx, s.urls[0], http.MethodGet, "/info", nil, &info)
	return info, err
}

// inParallel calls a function with 0 to n-1, some of them at the same time.
func inParallel(ctx context.Context, n int, call func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(setupCalls)
	for i := range n {
		group.Go(func() error { return call(ctx, i) })
	}
	return group.Wait()
}

// benchPayload is the text of a message: letters and spaces, which JSON leaves as they are.
func benchPayload(size int) []byte {
	const words = "the quick brown fox jumps over the lazy dog and comes back "
	return bytes.Repeat([]byte(words), size/len(words)+1)[:size]
}
