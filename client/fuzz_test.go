package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/topiq/topiq/client"
)

// anyAnswer is a transport that answers everything alike.
type anyAnswer struct {
	status int
	retry  string
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (a anyAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if a.retry != "" {
		header["Retry-After"] = []string{a.retry}
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// answers are seeds: what brokers answer, and what they never should.
func answers() []string {
	return []string{
		``, `null`, `{}`, `[]`, `"x"`, `1`, `{"status":"success"}`, `{"status":"failure"}`, `<html>`, "\xff",
		`{"status":"success","producer_id":497,"incarnation":"i","epoch":1,"next_seq":0,"last_offset":-1}`,
		`{"status":"success","producer_id":497,"incarnation":"i","epoch":1,"next_seq":9007199254740991,"last_offset":9007199254740991}`,
		`{"status":"success","consumer_id":753,"offset":0,"incarnation":"i"}`,
		`{"status":"success","offset":0,"count":1,"duplicate":false,"durable":"fsync","incarnation":"i"}`,
		`{"status":"success","offset":0,"count":2,"duplicate":false,"durable":"fsync","incarnation":"i","ranges":[{"seq":0,"offset":0,"count":1},{"seq":1,"offset":5,"count":1}]}`,
		`{"status":"success","offset":0,"count":1,"ranges":[{"seq":9223372036854775807,"offset":-9223372036854775808,"count":9223372036854775807}]}`,
		`{"status":"success","messages":[],"offset":0,"incarnation":"i"}`,
		`{"status":"success","messages":[{"offset":0,"message":"a","created_at":"2026-03-01T09:30:00Z"}],"offset":1,"next_offset":1,"first_offset":0,"end_offset":1,"incarnation":"i"}`,
		`{"status":"success","messages":[{"offset":0,"message_base64":"!","created_at":"x"},null,{}],"offset":1}`,
		`{"status":"success","messages":[{"offset":7}],"offset":-1,"next_offset":-5,"end_offset":2}`,
		`{"status":"success","topics":["a","b"],"next":"b"}`, `{"status":"success","topics":[null],"next":""}`,
		`{"status":"success","producers":[null],"next":1}`, `{"status":"success","consumers":[{}],"next":-1}`,
		`{"status":"success","name":"orders","incarnation":"i","created_at":"2026-03-01T09:30:00Z","first_offset":0,"next_offset":0,"messages":0,"bytes":0}`,
		`{"status":"failure","code":"seq_gap","message":"m","expected_seq":3}`, `{"status":"failure","code":"producer_fenced","epoch":7}`,
		`{"status":"failure","code":"offset_trimmed","first_offset":9007199254740991}`, `{"status":"failure","code":"incarnation_changed"}`,
		`{"status":"failure","code":"offset_behind"}`, `{"status":"failure","code":"message_too_large","max_bytes":-1}`,
		`{"status":"failure","code":"outcome_unknown"}`, `{"status":"failure","code":"nobody_knows"}`,
	}
}

// FuzzAnswers: whatever a server answers, no call panics or hangs, and a call that changes something and
// got no clear refusal does not say that nothing happened.
func FuzzAnswers(f *testing.F) {
	for _, body := range answers() {
		for _, status := range []uint16{200, 400, 404, 409, 503} {
			f.Add(status, "1", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status uint16, retry string, body []byte) {
		c, err := client.New("http://broker.test",
			client.WithHTTPClient(&http.Client{Transport: anyAnswer{int(status), retry, body}}),
			client.WithRetry(client.Retry{Attempts: 1, Base: time.Microsecond, Max: time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		// A consumer asks again and again, which is right.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		every(t, ctx, c, status)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// every makes all calls.
func every(t *testing.T, ctx context.Context, c *client.Client, status uint16) { //nolint:revive // the test comes first
	t.Helper()
	_, _ = c.Info(ctx)
	_, _ = c.Health(ctx), c.Ready(ctx)
	if err := c.CreateTopic(ctx, "orders"); err == nil && status != http.StatusOK {
		t.Errorf("status %d is success", status)
	} else if e, ok := errors.AsType[*client.Error](err); ok && status >= 500 && !errors.Is(e, client.ErrOutcomeUnknown) {
		t.Errorf("status %d: %v, want that the outcome is unknown", status, err)
	}
	_ = c.DeleteTopic(ctx, "orders")
	_, _ = c.DescribeTopic(ctx, "orders")
	_, _ = c.ListTopics(ctx, client.ListTopics{})
	_, _ = c.ConsumerState(ctx, "orders", "a")
	_, _ = c.ConsumerStateByID(ctx, "orders", 753)
	_, _ = c.SetOffset(ctx, "orders", 753, client.Beginning)
	_, _ = c.ProducerState(ctx, "orders", "shop")
	_, _ = c.CountProduced(ctx, "orders", "shop")
	_, _ = c.Read(ctx, "orders", client.ReadOptions{})
	// Lists that lead on for ever are cut by whoever reads them.
	first(c.Topics(ctx, ""))
	first(c.Producers(ctx, "orders"))
	first(c.Consumers(ctx, "orders"))
	first(c.Pages(ctx, "orders", client.ReadOptions{}))
	first(c.Messages(ctx, "orders", client.ReadOptions{}))
	for _, opts := range [][]client.ProducerOption{nil, {client.Name("shop")}} {
		p, err := c.Producer(ctx, "orders", opts...)
		if err != nil {
			continue
		}
		_, _ = p.SendBatch(ctx, []client.Message{client.Text("a"), client.Text("b")})
		_ = p.Close(ctx)
	}
	if consumer, err := c.Consumer(ctx, []string{"orders"}); err == nil {
		_, _ = consumer.Poll(ctx)
		_ = consumer.Close(ctx)
	}
}

// first takes at most a few entries of a list.
func first[V any](list func(func(V, error) bool)) {
	n := 0
	for _, err := range list {
		if n++; n == 10 || err != nil {
			return
		}
	}
}
