package client

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const producePath = "/producer/produce"

func dialError() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func openProducer(t *testing.T, c *Client, topic string, opts ...ProducerOption) *Producer {
	t.Helper()
	p, err := c.Producer(t.Context(), topic, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A named producer repeats the very same bytes until it is answered, and each message is stored once.
func TestNamedProducerRepeatsUntilAnswered(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]fault{
		"dial":            {faultNoDial, faultNoDial},
		"request lost":    {faultLost},
		"answer lost":     {faultReply, faultReply, faultReply},
		"answer short":    {faultShort},
		"overloaded":      {fault503},
		"rate limited":    {fault429},
		"internal":        {fault500},
		"page of a proxy": {faultHTMLPage},
		"no answer":       {faultHang},
		"all of them":     {faultReply, faultNoDial, fault503, faultHang, fault500, faultShort, fault429, faultLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				c, l := connect(t, f, faultsOf(producePath, faults...))
				p := openProducer(t, c, "orders", Name("shop"))
				for i := range 3 {
					r, err := p.Send(t.Context(), Text(fmt.Sprint("m", i)))
					if err != nil || r.Offset != int64(i) || r.Seq != int64(i) {
						t.Fatalf("Send %d: %+v, %v", i, r, err)
					}
				}
				if got := strings.Join(f.orders(), " "); got != "m0 m1 m2" {
					t.Errorf("stored: %s", got)
				}
				for _, r := range l.to(producePath)[:len(faults)+1] {
					if r.body != l.to(producePath)[0].body {
						t.Errorf("a repeat differs: %s", r.body)
					}
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A message whose first answer was lost is told to be a duplicate, with its original offset.
func TestDuplicateIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake(), faultsOf(producePath, faultReply))
		p := openProducer(t, c, "orders", Name("shop"))
		r, err := p.Send(t.Context(), Text("x"))
		if err != nil || !r.Duplicate || r.Offset != 0 || r.Durable != DurabilityMemory {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Without a name, only what certainly had no effect is repeated (contract section 2).
func TestUnnamedProducer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault    fault
		repeated bool
		cause    error
	}{
		"dial is repeated":                {faultNoDial, true, nil},
		"rate limit is repeated":          {fault429, true, nil},
		"lost request is unknown":         {faultLost, false, errReset},
		"lost answer is unknown":          {faultReply, false, errReset},
		"short answer is unknown":         {faultShort, false, nil},
		"overloaded is unknown":           {fault503, false, ErrOverloaded},
		"internal is unknown":             {fault500, false, ErrInternal},
		"page of a proxy is unknown":      {faultHTMLPage, false, nil},
		"4xx of a proxy is unknown":       {fault499, false, nil},
		"an answer too late is unknown":   {faultHang, false, nil},
		"a refusal is neither of the two": {fault401, false, ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := connect(t, newFake(), faultsOf(producePath, row.fault))
				p := openProducer(t, c, "orders")
				r, err := p.Send(t.Context(), Text("x"))
				if n := len(l.to(producePath)); (n == 2) != row.repeated {
					t.Errorf("%d requests", n)
				}
				if (err == nil) != row.repeated || (err == nil && r.Seq != NoSeq) {
					t.Fatalf("%+v, %v", r, err)
				}
				if unknown := !row.repeated && row.fault != fault401; errors.Is(err, ErrOutcomeUnknown) != unknown {
					t.Errorf("unknown should be %t: %v", unknown, err)
				}
				if row.cause != nil && !errors.Is(err, row.cause) {
					t.Errorf("not because of %v: %v", row.cause, err)
				}
				if _, err := p.Send(t.Context(), Text("y")); err != nil {
					t.Errorf("the producer should go on: %v", err)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if len(l.to("/producer/unregister")) != 1 {
					t.Error("it was not unregistered")
				}
			})
		})
	}
}

// What is sent while a request is under way leaves with the next one, in order per goroutine.
func TestConcurrentSendsShareRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, l := connect(t, f, faultsOf(producePath, faultReply, fault503))
		l.delay = time.Millisecond
		p := openProducer(t, c, "orders", Name("shop"), MaxBatchMessages(64))
		const senders, each = 50, 20
		var group sync.WaitGroup
		for g := range senders {
			group.Go(func() {
				last := NoOffset
				for i := range each {
					r, err := p.Send(t.Context(), Text(fmt.Sprintf("%d/%d", g, i)))
					if err != nil || r.Offset <= last || r.Offset != r.Seq {
						t.Errorf("%+v after %d, %v", r, last, err)
					}
					last = r.Offset
				}
			})
		}
		group.Wait()
		values := f.orders()
		if slices.Sort(values); len(values) != senders*each || len(slices.Compact(values)) != senders*each {
			t.Errorf("%d messages stored", len(values))
		}
		if n := len(l.to(producePath)); n > 2*each+10 { // the senders take turns in two groups
			t.Errorf("%d requests for %d messages", n, senders*each)
		}
		if p.NextSeq() != senders*each || p.LastOffset() != senders*each-1 || p.Epoch() != 1 {
			t.Errorf("seq %d, offset %d, epoch %d", p.NextSeq(), p.LastOffset(), p.Epoch())
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// One bad message spoils neither its neighbours nor the sequence.
func TestBadMessageIsRefusedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.maxBytes = 3
		c, _ := connect(t, f, nil)
		p := openProducer(t, c, "orders", Name("shop"))
		messages := numbered("m", 9)
		messages[4] = Text("too large")
		results, err := p.SendBatch(t.Context(), messages)
		if !errors.Is(err, ErrMessageTooLarge) || len(results) != 9 {
			t.Fatalf("%d results, %v", len(results), err)
		}
		for i, r := range results {
			if (r.Err != nil) != (i == 4) {
				t.Errorf("message %d: %+v", i, r)
			}
		}
		if got := strings.Join(f.orders(), " "); got != "m0 m1 m2 m3 m5 m6 m7 m8" {
			t.Errorf("stored: %s", got)
		}
		if r, err := p.Send(t.Context(), Text("end")); err != nil || r.Seq != 8 || p.NextSeq() != 9 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// With StopAtRefusal nothing behind a refused message is stored.
func TestStopAtRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.maxBytes = 3
		c, _ := connect(t, f, nil)
		p := openProducer(t, c, "orders", Name("shop"), StopAtRefusal())
		messages := numbered("m", 9)
		messages[4] = Text("too large")
		if results, err := p.SendBatch(t.Context(), messages); !errors.Is(err, ErrMessageTooLarge) || results[8].Err == nil {
			t.Errorf("%+v, %v", results, err)
		}
		if _, err := p.Send(t.Context(), Text("end")); !errors.Is(err, ErrMessageTooLarge) {
			t.Error(err)
		}
		if got := strings.Join(f.orders(), " "); got != "m0 m1 m2 m3" {
			t.Errorf("stored: %s", got)
		}
	})
}

// A lost answer to a register is harmless: the same instance gets the same session (P2).
func TestRegisterIsRepeatedWithItsInstance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := connect(t, newFake(), faultsOf("/producer/register", faultReply, faultReply))
		if p := openProducer(t, c, "orders", Name("shop")); p.Epoch() != 1 {
			t.Errorf("epoch %d", p.Epoch())
		}
		if p := openProducer(t, c, "orders", Name("shop")); p.Epoch() != 2 {
			t.Errorf("epoch %d", p.Epoch())
		}
		requests := l.to("/producer/register")
		if len(requests) != 4 || requests[0].body != requests[2].body || requests[2].body == requests[3].body {
			t.Errorf("%d registers", len(requests))
		}
	})
}

func TestClientCloseAbandonsProducers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake(), faultsOf(producePath, faultHang))
		p := openProducer(t, c, "orders", Name("shop"))
		done := make(chan error, 1)
		go func() {
			_, err := p.Send(t.Context(), Text("x"))
			done <- err
		}()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("Send: %v", err)
		}
		if _, err := c.Producer(t.Context(), "orders"); !errors.Is(err, ErrClosed) {
			t.Errorf("Producer: %v", err)
		}
	})
}
