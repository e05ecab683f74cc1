package api

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/topiq/topiq/service"
)

const (
	// strangeAtOnce is how often requests from one address may be without a valid token at once, strangeEvery how
	// often after that.
	strangeAtOnce = 100
	strangeEvery  = time.Second
	// strangersKnown bounds the addresses that are known.
	strangersKnown  = 10_000
	strangersLooked = 10
	// strangersBits of an IPv6 address are one network, which mostly belongs to one user.
	strangersBits = 64
)

// strangers counts, for each address, the requests without a valid token. Who goes on and on is told to wait. A
// valid token is let in whatever else comes from its address: many may come by one proxy, and one of them must not
// lock the others out. Nobody guesses a secret of 256 bits, so there is nothing that this would give away.
type strangers struct {
	mu sync.Mutex
	// paid is when all of an address will be forgiven.
	paid map[netip.Prefix]time.Time
}

// failed counts a request without a valid token, and returns how long the next ones should wait, 0 if they need not.
func (s *strangers) failed(remote string, now time.Time) time.Duration {
	from, ok := network(remote)
	if !ok {
		return 0 // no connection of TCP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	paid, known := s.paid[from]
	if !known {
		s.makeRoom(now)
	}
	if paid.Before(now) {
		paid = now
	}
	if wait := paid.Sub(now) - (strangeAtOnce-1)*strangeEvery; wait > 0 {
		return wait
	}
	s.paid[from] = paid.Add(strangeEvery)
	return 0
}

// makeRoom forgets, where too many addresses are known, one that is forgiven, or else any one. It looks at few of
// them: whoever has many addresses must not make each request cost a look at all that are known.
func (s *strangers) makeRoom(now time.Time) {
	if s.paid == nil {
		s.paid = map[netip.Prefix]time.Time{}
	}
	if len(s.paid) < strangersKnown {
		return
	}
	looked := 0
	for from, paid := range s.paid { // in no order
		if looked++; paid.Before(now) || looked == strangersLooked {
			delete(s.paid, from)
			return
		}
	}
}

// network is what counts as one address.
func network(remote string) (netip.Prefix, bool) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Prefix{}, false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, false
	}
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = strangersBits
	}
	prefix, err := address.Prefix(bits)
	return prefix, err == nil
}

// turnAway answers a request without a valid token.
func (s *server) turnAway(r *http.Request, err error) error {
	if !errors.Is(err, errUnauthorized) {
		return err
	}
	if wait := s.strangers.failed(r.RemoteAddr, time.Now()); wait > 0 {
		return &service.Error{
			Code: service.CodeRateLimited, Message: "too many requests without a valid token come from this address",
			Facts: service.Facts{RetryAfter: wait},
		}
	}
	return err
}
