package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A message whose Send left while it was under way, and that is then not stored, is told by the next Flush or
// Close, once.
func TestWhatNoSendCouldTell(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		message Message
		faults  []fault
		opts    []ProducerOption
		want    error
	}{
		"refused":         {Text("too large"), nil, []ProducerOption{Name("shop")}, ErrMessageTooLarge},
		"refused unnamed": {Text("too large"), nil, nil, ErrMessageTooLarge},
		"unknown":         {Text("x"), []fault{faultLost}, nil, ErrOutcomeUnknown},
		"stored":          {Text("x"), []fault{faultReply}, []ProducerOption{Name("shop")}, nil},
	} {
		for way, end := range map[string]func(ctx context.Context, p *Producer) error{
			"Flush": func(ctx context.Context, p *Producer) error { return p.Flush(ctx) },
			"Close": func(ctx context.Context, p *Producer) error { return p.Close(ctx) },
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFake("orders")
					f.maxBytes = 3
					c, l := connect(t, f, faultsOf(producePath, row.faults...))
					p := openProducer(t, c, "orders", row.opts...)
					l.delay = time.Second
					ctx, cancel := context.WithTimeout(t.Context(), l.delay/2)
					defer cancel()
					if _, err := p.Send(ctx, row.message); !errors.Is(err, ErrOutcomeUnknown) {
						t.Errorf("Send: %v", err)
					}
					if err := end(t.Context(), p); !errors.Is(err, row.want) {
						t.Errorf("%s: %v", way, err)
					}
					if err := p.Close(t.Context()); err != nil {
						t.Errorf("told twice: %v", err)
					}
					if n := len(f.orders()); (n == 1) != (row.want == nil) {
						t.Errorf("%d messages are stored", n)
					}
				})
			})
		}
	}
}

// The longest durations there are mean "without end".
func TestLongestDurations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake(), nil, WithTimeout(1<<63-1))
		p := openProducer(t, c, "orders", MaxTimeout(1<<63-1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Send(ctx, Text("x")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) {
			t.Error(err)
		}
		s := openConsumer(t, c, []string{"orders"})
		if messages, err := s.Poll(t.Context()); err != nil || len(messages) != 0 {
			t.Errorf("%s, %v", texts(messages), err)
		}
	})
}
