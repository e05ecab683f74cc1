package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const topic = "soak"

// caller calls a broker.
type caller struct {
	url    string
	client *http.Client
}

func newCaller(url string) *caller { return &caller{url, &http.Client{Timeout: 30 * time.Second}} }

// call sends a body as JSON, or none, and reads the answer into result.
func (c *caller) call(ctx context.Context, method, path string, body, result any) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, &text)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(result)
}

func (c *caller) createTopic(ctx context.Context, keep int64) error {
	var ignored map[string]any
	return c.call(ctx, http.MethodPost, "/topics", map[string]any{
		"name": topic, "retention": map[string]any{"max_messages": keep},
	}, &ignored)
}

// produce sends batch after batch until ctx ends.
func (c *caller) produce(ctx context.Context, batch, size int) error {
	var registered struct {
		ProducerID int64 `json:"producer_id"`
	}
	if err := c.call(ctx, http.MethodPost, "/producer/register", map[string]any{"topic": topic}, &registered); err != nil {
		return err
	}
	messages := make([]map[string]string, batch)
	for i := range messages {
		messages[i] = map[string]string{"message": strings.Repeat("x", size)}
	}
	for ctx.Err() == nil {
		var ignored map[string]any
		err := c.call(ctx, http.MethodPost, "/producer/produce", map[string]any{
			"topic": topic, "producer_id": registered.ProducerID, "messages": messages,
		}, &ignored)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *caller) describe(ctx context.Context, sample *Sample) error {
	var t struct {
		NextOffset int64 `json:"next_offset"`
		Messages   int64 `json:"messages"`
		Bytes      int64 `json:"bytes"`
	}
	err := c.call(ctx, http.MethodGet, "/topics/"+topic, nil, &t)
	sample.Stored, sample.Messages, sample.Bytes = t.NextOffset, t.Messages, t.Bytes
	return err
}
