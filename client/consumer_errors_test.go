package client

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// What lasts ends the consumer with its code and topic, by every way of reading, and stays.
func TestEndingErrors(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		harm func(f *fakeBroker)
		want error
	}{
		"incarnation":  {func(f *fakeBroker) { f.incarnation = "two" }, ErrIncarnationChanged},
		"trimmed":      {func(f *fakeBroker) { f.topics["orders"].first = 5 }, ErrOffsetTrimmed},
		"out of range": {func(f *fakeBroker) { f.topics["orders"].messages = nil }, ErrOffsetOutOfRange},
		"topic gone":   {func(f *fakeBroker) { delete(f.topics, "orders") }, ErrTopicNotFound},
		"consumer gone": {
			func(f *fakeBroker) {
				maps.DeleteFunc(f.consumers, func(_ int64, c *fakeConsumer) bool { return c.topic == "orders" })
			},
			ErrConsumerNotFound,
		},
		"overtaken": {func(f *fakeBroker) {
			for _, c := range f.consumers {
				c.offset = 9
			}
		}, ErrOffsetBehind},
	} {
		read := map[string]func(ctx context.Context, s *Consumer) error{
			"Poll": func(ctx context.Context, s *Consumer) error {
				for {
					if _, err := s.Poll(ctx); err != nil {
						return err
					}
				}
			},
			"Messages": func(ctx context.Context, s *Consumer) error {
				for _, err := range s.Messages(ctx) {
					if err != nil {
						return err
					}
				}
				return nil
			},
			"Run": func(ctx context.Context, s *Consumer) error { return s.Run(ctx, new(collector).handle) },
		}
		for way, end := range read {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFake("other")
					fillTopic(t, f, "orders", "m", 10)
					c, _ := connect(t, f, nil)
					s := openConsumer(t, c, []string{"other", "orders"}, From(At(1)))
					if _, err := s.find("other"); err != nil {
						t.Fatal(err)
					}
					if err := s.Seek(t.Context(), "other", 0); err != nil {
						t.Fatal(err)
					}
					f.mu.Lock()
					row.harm(f)
					f.mu.Unlock()
					for range 2 {
						err := end(t.Context(), s)
						if !errors.Is(err, row.want) || errors.Is(err, ErrOutcomeUnknown) || !strings.Contains(err.Error(), "topic o") {
							t.Errorf("%v", err)
						}
					}
				})
			})
		}
	}
}

// An answer that does not continue where it was asked to is never handed out.
func TestImpossibleAnswers(t *testing.T) {
	t.Parallel()
	text := "x"
	at := func(offsets ...int64) []wire.LogMessage {
		messages := []wire.LogMessage{}
		for _, o := range offsets {
			messages = append(messages, wire.LogMessage{Offset: o, Message: &text, CreatedAt: time.Now()})
		}
		return messages
	}
	for name, answer := range map[string]wire.ConsumeResult{
		"gap":         {Offset: 3, Incarnation: "one", Messages: at(0, 2)},
		"not ours":    {Offset: 2, Incarnation: "one", Messages: at(1)},
		"bad next":    {Offset: 7, Incarnation: "one", Messages: at(0, 1)},
		"incarnation": {Offset: 1, Incarnation: "two", Messages: at(0)},
		"plain":       {Offset: 1, Incarnation: "one", Message: &text},
		"no content":  {Offset: 1, Incarnation: "one", Messages: []wire.LogMessage{{Offset: 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake("orders")
			c, _ := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == consumePath {
					answer.Status = wire.SuccessStatusSuccess
					writeJSON(w, http.StatusOK, answer)
					return
				}
				f.ServeHTTP(w, r)
			}), nil)
			s := openConsumer(t, c, []string{"orders"})
			if messages, err := s.Poll(t.Context()); err == nil {
				t.Errorf("got %v", messages)
			}
		})
	}
}
