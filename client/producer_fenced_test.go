package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
)

// A producer is paused while an answer is on its way, another session takes over, and the producer wakes. It
// stops and never registers again (P10), and says the truth about the message that was in doubt: stored with its
// offset, or certainly not.
func TestPausedProducerWakesFenced(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		first  fault
		taken  []string // what the new session sends meanwhile
		stored bool
		log    string
	}{
		"stored, answer lost":                                 {faultReply, nil, true, "a b c z"},
		"stored, and the new session goes on":                 {faultReply, []string{"x"}, true, "a b c x z"},
		"request lost":                                        {faultLost, nil, false, "a z"},
		"request lost, and the seq is another one's":          {faultLost, []string{"x", "y"}, false, "a x y z"},
		"request lost, and half of its seq are another one's": {faultLost, []string{"x"}, false, "a x z"},
		"request lost, and the new session sends the same":    {faultLost, []string{"b", "c"}, true, "a b c z"},
		"request lost, and the new session sends half":        {faultLost, []string{"b"}, false, "a b z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := apitest.Serve(t)
			paused, wake := make(chan struct{}), make(chan struct{})
			transport := newTransport()
			t.Cleanup(transport.CloseIdleConnections)
			l := &link{next: transport, fault: func(r *request) fault {
				if r.path != producePath || r.n != 2 {
					return faultNone
				}
				return row.first
			}}
			c, err := New(server.URL, WithRetry(Retry{Base: time.Millisecond, Max: time.Millisecond}),
				WithHTTPClient(&http.Client{Transport: pausing(l, paused, wake)}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })

			old := openProducer(t, c, "orders", Name("shop"))
			if _, err := old.Send(t.Context(), Text("a")); err != nil {
				t.Fatal(err)
			}
			type outcome struct {
				results []Result
				err     error
			}
			sent := make(chan outcome, 1)
			go func() {
				results, err := old.SendBatch(t.Context(), []Message{Text("b"), Text("c")})
				sent <- outcome{results, err}
			}()
			<-paused
			young := openProducer(t, dial(t, server.URL, nil), "orders", Name("shop"))
			for _, text := range row.taken {
				if _, err := young.Send(t.Context(), Text(text)); err != nil {
					t.Fatal(err)
				}
			}
			close(wake)
			got := <-sent
			if row.stored {
				if got.err != nil || got.results[0].Offset != 1 || got.results[1].Offset != 2 || !got.results[1].Duplicate {
					t.Errorf("%+v, %v", got.results, got.err)
				}
			} else if !errors.Is(got.err, ErrProducerFenced) || errors.Is(got.err, ErrOutcomeUnknown) {
				t.Errorf("not stored, but: %v", got.err)
			}
			for range 2 {
				if _, err := old.Send(t.Context(), Text("late")); !errors.Is(err, ErrProducerFenced) || errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("a later message: %v", err)
				}
			}
			if err := old.Close(t.Context()); !errors.Is(err, ErrProducerFenced) {
				t.Errorf("Close: %v", err)
			}
			if n := len(l.to("/producer/register")); n != 1 {
				t.Errorf("it registered %d times", n)
			}
			if _, err := young.Send(t.Context(), Text("z")); err != nil {
				t.Errorf("the new session: %v", err)
			}
			if log := everything(t, dial(t, server.URL, nil)); log != row.log {
				t.Errorf("stored: %s; want %s", log, row.log)
			}
		})
	}
}

// If the broker cannot be asked any more, what was in doubt stays so.
func TestFencedInDoubtStaysUnknown(t *testing.T) {
	t.Parallel()
	server := apitest.Serve(t)
	fenced := make(chan struct{})
	c := dial(t, server.URL, func(r *request) fault {
		switch {
		case r.path != producePath || r.n == 1:
			return faultNone
		case r.n == 2:
			return faultReply
		case r.n == 3:
			<-fenced
			return faultNone
		default:
			return fault401 // the token has ended meanwhile
		}
	})
	p := openProducer(t, c, "orders", Name("shop"))
	if _, err := p.Send(t.Context(), Text("a")); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := p.Send(t.Context(), Text("b"))
		sent <- err
	}()
	openProducer(t, dial(t, server.URL, nil), "orders", Name("shop"))
	close(fenced)
	if err := <-sent; !errors.Is(err, ErrProducerFenced) || !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
}

// pausing holds the third request to produce until wake is closed, and tells of it.
func pausing(next *link, paused chan<- struct{}, wake <-chan struct{}) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == producePath && len(next.to(producePath)) == 2 {
			close(paused)
			<-wake
		}
		return next.RoundTrip(r)
	})
}

// everything is what the topic orders holds.
func everything(t *testing.T, c *Client) string {
	t.Helper()
	var all []Message
	for m, err := range c.Messages(t.Context(), "orders", ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return texts(all)
}
