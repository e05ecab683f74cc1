package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireclient"
)

// maxBrokers bounds the addresses of a client.
const maxBrokers = 64

// Brokers gives the client more addresses of brokers that work on the same store, beside the one of [New]. Any
// of them can do any call, and all rules hold for them together, so it does not matter which one does it.
//
// The client stays with one address, at first that of New, as long as it works. After an attempt that got no
// answer (also if the deadline of its ctx came first, unless the broker was asked to wait), an unreadable one,
// unavailable, outcome_unknown, internal or a page of something in between, the next attempt of any call goes
// to the next address in the order given, and behind the last one to the first. So it never goes back to an
// earlier address because that one works again. Refusals, and answers that ask for patience such as
// overloaded, do not make it move: they are about the store or the call.
//
// What may be repeated does not change: a sequenced message whose outcome is unknown is repeated on another
// broker with the same seq (P4, P9), and what may not be repeated blindly is not. A Retry-After of the broker
// that is left is not waited for; the growing pauses of [Retry] are.
//
// The addresses must be of one store. Brokers of another one do not know the ids, and name other
// incarnations; producers and consumers stop with an error when they meet them.
func Brokers(urls ...string) Option {
	return clientOption(func(cfg *clientConfig) { cfg.brokers = append(cfg.brokers, urls...) })
}

// broker is one address.
type broker struct{ *wireclient.Client }

// brokers are the addresses of a client.
type brokers struct {
	all []*broker
	// turn counts the moves; the broker at turn modulo their number is the one to ask. Attempts that fail at
	// the same time on one broker move it once: each moves only from the turn that it began at.
	turn atomic.Uint64
}

func newBrokers(urls []string, opts ...wireclient.ClientOption) (*brokers, error) {
	if len(urls) > maxBrokers {
		return nil, invalid("Brokers", "%d addresses are more than %d", len(urls), maxBrokers)
	}
	b := &brokers{}
	for _, address := range urls {
		if err := checkURL(address); err != nil {
			return nil, err
		}
		c, err := wireclient.NewClient(address, opts...)
		if err != nil {
			return nil, invalid("base URL", "%v", err)
		}
		b.all = append(b.all, &broker{c})
	}
	return b, nil
}

func checkURL(address string) error {
	base, err := url.Parse(address)
	if err != nil {
		return invalid("base URL", "%v", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return invalid("base URL", "%q does not begin with http:// or https:// and a host", address)
	}
	if base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return invalid("base URL", "it may have a path, but no user, query or fragment")
	}
	return nil
}

// current is the broker to ask, and the turn to leave it with.
func (b *brokers) current() (*broker, uint64) {
	turn := b.turn.Load()
	return b.all[turn%uint64(len(b.all))], turn
}

// leave moves on to the next address, unless another attempt already did, and reports whether there is one.
func (b *brokers) leave(turn uint64) bool {
	if len(b.all) == 1 {
		return false
	}
	b.turn.CompareAndSwap(turn, turn+1)
	return true
}

// failedOver is called with the error of every attempt. If it was the broker's fault, the next attempt goes to
// another one.
func (c *Client) failedOver(ctx context.Context, op operation, turn uint64, e *Error) {
	if !e.blamesBroker() {
		return
	}
	if end := ctx.Err(); end != nil && (op.wait > 0 || !errors.Is(end, context.DeadlineExceeded)) {
		return // the caller did not want to wait any longer
	}
	if c.brokers.leave(turn) {
		e.RetryAfter = 0 // it was asked for by the broker that was left
		to, _ := c.brokers.current()
		c.log.DebugContext(ctx, "topiq: going on with another broker", "broker", to.Server, "error", e)
	}
}

// blamesBroker reports whether another broker may do better at once.
func (e *Error) blamesBroker() bool {
	if !e.passing {
		return false
	}
	if e.Code == "" {
		// No answer, an unreadable one, or one of something in between; a limit of the latter is a wish for
		// patience.
		return e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
	}
	return e.hasCode(wire.FailureCodeUnavailable, wire.FailureCodeOutcomeUnknown, wire.FailureCodeInternal)
}
