package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// sharedStore is one store of several brokers: it is open for the others when one of them closes.
type sharedStore struct{ service.Store }

func (sharedStore) Close() error { return nil }

// twoBrokers serves one store twice.
func twoBrokers(t *testing.T) (a, b *apitest.Server) {
	t.Helper()
	store := memory.New(memory.Config{})
	return apitest.Serve(t, apitest.Store(sharedStore{store})), apitest.Serve(t, apitest.Store(sharedStore{store}))
}

// die ends a server as kill -9 does: nobody listens, and the connections are cut.
func die(s *apitest.Server) {
	_ = s.HTTP.Listener.Close()
	s.HTTP.CloseClientConnections()
}

// One of two brokers dies, or shuts down, in the middle, on a bad network: every message is stored once, in order
// per sender, and a consumer gets each once.
func TestOneOfTwoBrokersEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*apitest.Server) error{
		"dies":       func(s *apitest.Server) error { die(s); return nil },
		"shuts down": func(s *apitest.Server) error { return s.CloseBroker() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const senders, each = 8, 60
			a, b := twoBrokers(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			l := &link{next: newTransport(), fault: chaos(seed)}
			c, err := New(a.URL, Brokers(b.URL), WithHTTPClient(&http.Client{Transport: l}),
				WithRetry(Retry{Attempts: 100, Base: time.Millisecond, Max: 5 * time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			p := openProducer(t, c, "orders", Name("shop"), MaxBatchMessages(5))
			s := openConsumer(t, c, []string{"orders"}, Name("all"), MaxMessages(7), Wait(time.Second))
			var got []Message
			var group sync.WaitGroup
			group.Go(func() {
				for m, err := range s.Messages(ctx) {
					if err != nil {
						t.Error(err)
						return
					}
					if got = append(got, m); len(got) == senders*each {
						return
					}
				}
			})
			half := make(chan struct{}, senders)
			for g := range senders {
				group.Go(func() {
					for i := range each {
						if i == each/2 {
							half <- struct{}{}
						}
						if _, err := p.Send(ctx, Text(fmt.Sprintf("%d/%d", g, i))); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range senders / 2 {
				<-half
			}
			if err := end(a); err != nil {
				t.Error(err)
			}
			group.Wait()
			checkHistory(t, "orders", got, senders, each)
			if topic, err := c.DescribeTopic(ctx, "orders"); err != nil || topic.Messages != senders*each {
				t.Errorf("%+v, %v", topic, err)
			}
			if err := errors.Join(p.Close(ctx), s.Close(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
}

// hosts makes a client of several addresses, and notes which one each request went to.
func hosts(t *testing.T, handler http.Handler, decide func(host string, r *request) fault, more ...string) (*Client, func() string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		asked = append(asked, strings.TrimSuffix(r.URL.Host, ".test"))
		host := asked[len(asked)-1]
		mu.Unlock()
		one := &link{handler: handler, fault: func(req *request) fault { return decide(host, req) }}
		return one.RoundTrip(r)
	})
	c, err := New("http://a.test", Brokers(more...), WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, func() string {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(asked, " ")
		asked = nil
		return all
	}
}

// The client stays with a broker that works, and leaves one that does not for the next in turn.
func TestStaysWithTheBrokerThatWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := map[string]fault{}
		c, asked := hosts(t, healthy(), func(host string, _ *request) fault { return down[host] },
			"http://b.test", "http://c.test")
		for _, step := range []struct {
			down map[string]fault
			want string
		}{
			{nil, "a a"},
			{map[string]fault{"a": faultNoDial, "b": faultLost}, "a b c c"},
			{nil, "c c"}, // the first works again, but so does this one
			{map[string]fault{"c": faultHTMLPage}, "c a a"},
			{map[string]fault{"a": fault500}, "a b b"},
			{map[string]fault{"b": faultHang}, "b c c"},
			{map[string]fault{"c": faultReply}, "c a a"},
		} {
			down = step.down
			for range 2 {
				if err := c.retriedHealth(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := asked(); got != step.want {
				t.Errorf("down %v: asked %s; want %s", step.down, got, step.want)
			}
		}
	})
}

// healthy is a broker that can say no more than that.
func healthy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, wire.HealthResult{Status: wire.SuccessStatusSuccess})
	})
}

// retriedHealth is any call that may be repeated.
func (c *Client) retriedHealth(ctx context.Context) error {
	_, err := retry(ctx, c, true, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.Health(ctx) })
	return err
}

// What asks for patience, and what is refused, does not move the client: another broker has the same store.
func TestPatienceAndRefusalsDoNotMove(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]fault{"overloaded": fault503, "rate limited": fault429, "refused": fault401} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, asked := hosts(t, healthy(), func(string, *request) fault { return kind }, "http://b.test")
				for range 3 {
					if err := c.Health(t.Context()); err == nil {
						t.Error("no error")
					}
				}
				if got := asked(); got != "a a a" {
					t.Errorf("asked %s", got)
				}
			})
		})
	}
}

// With many brokers, too, what may not be repeated blindly is not (P6): only a broker that could not be reached is
// replaced by another.
func TestUnnamedProducerOfTwoBrokers(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fault]string{faultNoDial: "a b", faultReply: "a", faultLost: "a", fault500: "a"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			c, asked := hosts(t, f, func(host string, r *request) fault {
				if host == "a" && r.path == producePath {
					return kind
				}
				return faultNone
			}, "http://b.test")
			p := openProducer(t, c, "orders")
			asked()
			_, err := p.Send(t.Context(), Text("x"))
			if got := asked(); got != want || (err == nil) != (want == "a b") || len(f.orders()) > 1 {
				t.Errorf("fault %d: asked %s, %v, stored %q", kind, got, err, f.orders())
			}
			if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("fault %d: %v", kind, err)
			}
			if _, err := p.Send(t.Context(), Text("y")); err != nil || !slices.Contains(f.orders(), "y") {
				t.Errorf("the next one goes to the other broker: %v", err)
			}
		})
	}
}

// A caller who gives up by its deadline has found a broker that does not answer; one who cancels has not, nor has
// one whose deadline is inside the time that the broker was asked to wait.
func TestWhichEndOfAContextMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, asked := hosts(t, healthy(), func(host string, _ *request) fault {
			if host == "a" {
				return faultHang
			}
			return faultNone
		}, "http://b.test")
		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_ = c.Health(cancelled)
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, _ = c.Read(short, "orders", ReadOptions{Wait: 20 * time.Second})
		short, stop = context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_ = c.Health(short)
		if err := c.Health(t.Context()); err != nil {
			t.Error(err)
		}
		if got := asked(); got != "a a a b" {
			t.Errorf("asked %s", got)
		}
	})
}

// Each address is checked like the first.
func TestAddressesAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://u@x", "http://x?y", "http://x#y", "http://\x7f"} {
		if _, err := New("http://localhost", Brokers(bad)); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := New("http://a", Brokers(slices.Repeat([]string{"http://b"}, maxBrokers)...)); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("too many: %v", err)
	}
}
