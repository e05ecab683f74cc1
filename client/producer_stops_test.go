package client

import (
	"errors"
	"testing"
	"testing/synctest"
)

// A fenced producer stops for good: what it was sending, what waits, and what comes (P10).
func TestFencedProducerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, l := connect(t, f, nil)
		old := openProducer(t, c, "orders", Name("shop"))
		if _, err := old.Send(t.Context(), Text("a")); err != nil {
			t.Fatal(err)
		}
		young := openProducer(t, c, "orders", Name("shop"))
		if young.NextSeq() != 1 || young.LastOffset() != 0 || young.Epoch() != 2 {
			t.Errorf("seq %d, offset %d, epoch %d", young.NextSeq(), young.LastOffset(), young.Epoch())
		}
		for range 3 {
			_, err := old.Send(t.Context(), Text("b"))
			if !errors.Is(err, ErrProducerFenced) || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("%v", err)
			}
		}
		if err := old.Flush(t.Context()); !errors.Is(err, ErrProducerFenced) {
			t.Errorf("Flush: %v", err)
		}
		if err := old.Close(t.Context()); !errors.Is(err, ErrProducerFenced) {
			t.Errorf("Close: %v", err)
		}
		if n := len(l.to("/producer/register")); n != 2 {
			t.Errorf("%d registers", n)
		}
		if n := len(l.to(producePath)); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

// A refusal speaks of its own attempt only: the one before it may have stored the message.
func TestRefusalAfterLostAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, _ := connect(t, f, faultsOf(producePath, faultReply, fault401))
		p := openProducer(t, c, "orders", Name("shop"))
		_, err := p.Send(t.Context(), Text("a"))
		if !errors.Is(err, ErrUnauthorized) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the first: %v", err)
		}
		_, err = p.Send(t.Context(), Text("b"))
		if !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the second was not sent: %v", err)
		}
		if next := openProducer(t, c, "orders", Name("shop")).NextSeq(); next != 1 {
			t.Errorf("a new session settles it: next seq %d", next)
		}
	})
}

// A changed incarnation stops a producer, with and without a name (P13).
func TestChangedIncarnationStops(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]ProducerOption{{Name("shop")}, nil} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			c, l := connect(t, f, nil)
			p := openProducer(t, c, "orders", opts...)
			f.incarnation = "two"
			for range 2 {
				if _, err := p.Send(t.Context(), Text("a")); !errors.Is(err, ErrIncarnationChanged) {
					t.Errorf("%v", err)
				}
			}
			if n := len(l.to(producePath)); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
