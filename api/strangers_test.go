package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// strangersRefused has every operation refused that needs a token, from an address that has tried too often.
func (w *world) strangersRefused() {
	w.tb.Helper()
	for range 100 {
		w.send(http.MethodGet, "/info", "")
	}
	for id, o := range w.operations {
		if o.codes()["unauthorized"] == 0 {
			continue
		}
		target, body := o.sample(w.tb)
		for tries := 0; ; tries++ { // one a second is told what is wrong
			r := w.send(o.method, target, body)
			if r.code() == "rate_limited" {
				if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1" || r.values["quota"] != nil {
					w.tb.Errorf("%s: %d %s", id, r.status, r.text)
				}
				break
			}
			if r.code() != "unauthorized" || tries == 20 {
				w.tb.Fatalf("%s, again and again without a token: %d %s", id, r.status, r.text)
			}
		}
		w.coverage.note(id, "rate_limited")
	}
}

// TestStrangersLockNobodyOut: whoever has a token is let in from any address, and what needs none is answered.
func TestStrangersLockNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Authenticate: true}))
	admin := w.token("admin")
	for range 200 {
		w.send(http.MethodGet, "/info", "", "Authorization", "Bearer "+madeUp)
	}
	w.call("", "info", "with a token", "/info", "", admin...)
	w.call("", "health", "without one", "/healthz", "")
}

// TestStrangersAreCounted: each address by itself, and no more of them than is bearable.
func TestStrangersAreCounted(t *testing.T) {
	t.Parallel()
	s, now := api.NewStrangers(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, addresses := range [][]string{
		{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3"},
		{"192.0.2.2:1"},
		{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:0:ffff::%eth0]:9"},
		{"[2001:db8:0:1::1]:1"},
	} {
		for i := range 100 {
			if wait := s.Failed(addresses[i%len(addresses)], now); wait != 0 {
				t.Fatalf("request %d of %s has to wait %s", i, addresses, wait)
			}
		}
		for _, address := range addresses {
			if wait := s.Failed(address, now); wait != time.Second {
				t.Errorf("the next one of %s has to wait %s", address, wait)
			}
		}
	}
	now = now.Add(1500 * time.Millisecond)
	for i, want := range []time.Duration{0, 500 * time.Millisecond, 500 * time.Millisecond} {
		if wait := s.Failed("192.0.2.1:1", now); wait != want {
			t.Errorf("request %d after one and a half seconds has to wait %s, want %s", i, wait, want)
		}
	}
	if wait := s.Failed("@", now); wait != 0 {
		t.Errorf("without an address: %s", wait)
	}
	for i := range 30_000 {
		s.Failed(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), now)
	}
	if n := s.Known(); n > 10_000 {
		t.Errorf("%d addresses are known", n)
	}
}
