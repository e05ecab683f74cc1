package httpproxy

import (
	"maps"
	"math/rand/v2"
	"time"
)

// Kind is what happens to one request.
type Kind string

// The kinds. In all but pass, echo and the two doubles the client loses its connection. The client of a
// doubled request gets a success if there is one: a refusal of one copy says nothing of the other. Of two
// it gets the later one of Again, and the first one of Twice.
const (
	Pass       Kind = "pass"
	Drop       Kind = "drop the request"       // The broker never sees it.
	CutRequest Kind = "cut after the request"  // The broker has all of it, and loses its client at once.
	LoseAnswer Kind = "lose the answer"        // The broker has answered; the client gets nothing.
	CutAnswer  Kind = "cut the answer"         // The client gets the head and a part of the body.
	Again      Kind = "send again"             // Once more when the answer is there.
	Twice      Kind = "send twice at once"     // Two copies race.
	Zombie     Kind = "deliver after the loss" // The client loses its connection now, the broker gets the request late.
	Echo       Kind = "deliver again late"     // Passed now, and a copy delivered late.
)

// Action is what a policy decides.
type Action struct {
	Kind Kind
	// Delay is when a zombie or an echo is delivered, after the request came.
	Delay time.Duration
}

// Request tells a policy what it decides about: some requests may not be doubled.
type Request struct {
	Method, Path, Query string
	Body                []byte // not to be changed
}

// Policy decides about each request. It is called by one goroutine at a time and must not block. The
// random numbers come from the seed of the proxy; which request asks first is up to the clients.
type Policy func(*rand.Rand, Request) Action

// PassAll lets every request through.
func PassAll(*rand.Rand, Request) Action { return Action{Kind: Pass} }

// Some does one of the actions, each as likely as the others, to this share of the requests (0 to 1). A
// delay is a random one up to that of the action.
func Some(share float64, actions ...Action) Policy {
	return func(r *rand.Rand, _ Request) Action {
		if len(actions) == 0 || r.Float64() >= share {
			return Action{Kind: Pass}
		}
		action := actions[r.IntN(len(actions))]
		if action.Delay > 0 {
			action.Delay = time.Duration(r.Int64N(int64(action.Delay))) + 1
		}
		return action
	}
}

// Counts is what a proxy has done so far.
type Counts struct {
	Requests    int64
	Kinds       map[Kind]int64 // what became of them
	Unreachable int64          // requests, copies included, that got no whole answer from the broker
	Late        map[int]int64  // status that the broker gave to zombies and echoes
	LateLost    int64          // zombies and echoes that were never delivered, or whose answer was lost
	Streamed    int64          // answers without an end, passed as they came
}

// Faults is the number of requests to which something other than passing has happened.
func (c Counts) Faults() int64 {
	total := int64(0)
	for kind, n := range c.Kinds {
		if kind != Pass {
			total += n
		}
	}
	return total
}

// Counts returns a copy.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Kinds, c.Late = maps.Clone(c.Kinds), maps.Clone(c.Late)
	return c
}

func (p *Proxy) count(change func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counts)
}

func (p *Proxy) did(kind Kind) { p.count(func(c *Counts) { c.Kinds[kind]++ }) }
