package client

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/gen/wire"
)

const readPath = "/topics/orders/messages"

// filled serves a real broker whose topic orders has the messages m0, m1, ….
func filled(t *testing.T, n int, fault func(*request) fault) (*Client, *apitest.Server) {
	t.Helper()
	b := apitest.Serve(t)
	c := dial(t, b.URL, fault)
	p := openProducer(t, dial(t, b.URL, nil), "orders", Name("shop"))
	if _, err := p.SendBatch(t.Context(), numbered("m", n)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, b
}

// Read begins at each kind of position, answers all its facts, and leaves nothing behind.
func TestRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	before := time.Now().Add(-time.Minute)
	for _, row := range []struct {
		opts ReadOptions
		want string
		next int64
	}{
		{ReadOptions{}, "m0 m1 m2 m3 m4", 5},
		{ReadOptions{From: Beginning, MaxMessages: 2}, "m0 m1", 2},
		{ReadOptions{From: At(2), MaxMessages: 2}, "m2 m3", 4},
		{ReadOptions{From: At(1), MaxBytes: 1}, "m1", 2},
		{ReadOptions{From: At(5)}, "", 5},
		{ReadOptions{From: End, Follow: true}, "", 5},
		{ReadOptions{From: AtTime(before), MaxMessages: 1}, "m0", 1},
		{ReadOptions{From: AtTime(time.Time{}), MaxMessages: 1}, "m0", 1},
		{ReadOptions{From: AtTime(before.Add(time.Hour))}, "", 5},
	} {
		page, err := c.Read(ctx, "orders", row.opts)
		if err != nil || texts(page.Messages) != row.want || page.NextOffset != row.next ||
			page.FirstOffset != 0 || page.EndOffset != 5 || page.Incarnation == "" {
			t.Errorf("%+v: %+v, %v", row.opts, page, err)
		}
		for i, m := range page.Messages {
			if m.Topic != "orders" || m.Offset != page.offset()+int64(i) || m.ProdName != "shop" || *m.Seq != m.Offset {
				t.Errorf("%+v: %+v", row.opts, m)
			}
		}
	}
	topic, err := c.DescribeTopic(ctx, "orders")
	if err != nil || topic.Consumers != 0 {
		t.Errorf("%d consumers, %v", topic.Consumers, err)
	}
}

// What cannot be read is refused with its sentinel, by Read, Pages and Messages alike.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	for _, row := range []struct {
		topic string
		opts  ReadOptions
		want  error
	}{
		{"missing", ReadOptions{}, ErrTopicNotFound},
		{"missing", ReadOptions{From: End}, ErrTopicNotFound},
		{"a/b", ReadOptions{}, ErrInvalidRequest},
		{"orders", ReadOptions{From: At(6)}, ErrOffsetOutOfRange},
		{"orders", ReadOptions{From: End, Incarnation: "other"}, ErrIncarnationChanged},
		{"orders", ReadOptions{Incarnation: "other"}, ErrIncarnationChanged},
		{"orders", ReadOptions{From: "middle"}, ErrInvalidRequest},
		{"orders", ReadOptions{From: At(-1)}, ErrInvalidRequest},
		{"orders", ReadOptions{MaxMessages: -1}, ErrInvalidRequest},
		{"orders", ReadOptions{MaxBytes: -1}, ErrInvalidRequest},
		{"orders", ReadOptions{Wait: time.Millisecond}, ErrInvalidRequest},
	} {
		if page, err := c.Read(ctx, row.topic, row.opts); !errors.Is(err, row.want) || len(page.Messages) > 0 {
			t.Errorf("Read %s %+v: %+v, %v", row.topic, row.opts, page, err)
		}
		n := 0
		for _, err := range c.Messages(ctx, row.topic, row.opts) {
			if n++; !errors.Is(err, row.want) || n > 1 {
				t.Errorf("Messages %s %+v: %v", row.topic, row.opts, err)
			}
		}
	}
}

// scripted answers reads with one answer after another, the last one again and again.
type scripted struct {
	mu      sync.Mutex
	answers []any
	queries []string
}

// ServeHTTP implements http.Handler.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, r.URL.RawQuery)
	answer := s.answers[min(len(s.queries), len(s.answers))-1]
	if refused, ok := answer.(*refusalError); ok {
		writeJSON(w, refused.status, refused.Failure)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// pageAt is an answer with the messages at some offsets, in a topic of the incarnation one that ends at 9.
func pageAt(next int64, offsets ...int64) *wire.ReadMessagesResult {
	text := "x"
	page := &wire.ReadMessagesResult{
		Status: "success", Messages: []wire.LogMessage{}, NextOffset: next, EndOffset: 9, Incarnation: "one",
	}
	for _, offset := range offsets {
		page.Messages = append(page.Messages, wire.LogMessage{Offset: offset, Message: &text})
	}
	return page
}

func trimmedAt(first int64) *refusalError {
	refused := refuse(http.StatusGone, wire.FailureCodeOffsetTrimmed)
	refused.FirstOffset = &first
	return refused
}

// The beginning is found while retention is at work; another position is not replaced.
func TestBeginningIsNeverTrimmed(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []any{trimmedAt(3), trimmedAt(5), pageAt(6, 5)}}
	c, _ := connect(t, s, nil)
	page, err := c.Read(t.Context(), "orders", ReadOptions{})
	if err != nil || page.offset() != 5 || strings.Join(s.queries, " ") != "offset=0 offset=3 offset=5" {
		t.Errorf("%+v, %v after %q", page, err, s.queries)
	}
	s = &scripted{answers: []any{trimmedAt(3)}}
	c, _ = connect(t, s, nil)
	_, err = c.Read(t.Context(), "orders", ReadOptions{From: At(1)})
	if !errors.Is(err, ErrOffsetTrimmed) || *asError(err).FirstOffset != 3 || len(s.queries) != 1 {
		t.Errorf("%v after %q", err, s.queries)
	}
}

// An answer that does not continue where it was asked to is refused, not handed out.
func TestReadChecksAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*wire.ReadMessagesResult{
		"another place":       pageAt(4, 3),
		"a gap":               pageAt(2, 0, 2),
		"next beyond":         pageAt(3, 0),
		"above the end":       pageAt(10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
		"no messages at all":  {Status: "success", Incarnation: "one"},
		"no incarnation":      {Status: "success", Messages: []wire.LogMessage{}},
		"no status":           {Messages: []wire.LogMessage{}, Incarnation: "one"},
		"another incarnation": {Status: "success", Messages: []wire.LogMessage{}, Incarnation: "two"},
		"a message of no kind": {
			Status: "success", Incarnation: "one", NextOffset: 1, EndOffset: 1, Messages: []wire.LogMessage{{}},
		},
	} {
		c, _ := connect(t, &scripted{answers: []any{answer}}, nil)
		opts := ReadOptions{}
		if name == "another incarnation" {
			opts.Incarnation = "one"
		}
		if page, err := c.Read(t.Context(), "orders", opts); err == nil || asError(err).Temporary() {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
	}
	c, _ := connect(t, newFake(), nil)
	_ = c.Close()
	if _, err := c.Read(t.Context(), "orders", ReadOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
