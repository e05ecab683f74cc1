// Package workload lets many clients of every sort work on brokers, by plain HTTP without the
// retries of any library: each attempt is one operation of the history, and a client repeats what
// it may repeat until it knows.
package workload

import (
	"time"

	"github.com/topiq/topiq/torture/history"
)

// Options say who works. A negative number of clients is none of them; 0 is the default.
type Options struct {
	// URLs are the brokers, or the proxies before them. Every client uses all.
	URLs []string
	// Spare keeps the last of the brokers for what was tried in vain at another one.
	Spare bool
	// Prefix of all names, so that several workloads may share a store.
	Prefix string

	Topics int // default 2
	// For each topic:
	Producers   int // named, sequenced, one session each (default 3)
	Takeovers   int // names whose session is taken over by a new one every second or so (default 1)
	Unsequenced int // send each message once and never again (default 1)
	Readers     int // read anywhere (default 1)
	Pollers     int // read on, with a long poll (default 1)
	Consumers   int // consume with an offset (default 1)
	Plain       int // consume without one (default 1)
	Seekers     int // set the offset of a consumer and look at it (default 1)

	// NoShort leaves out the topic with a short history: a few clients of its own, whose operations
	// another checker searches for an order that explains them all.
	NoShort bool

	// Rate is how many requests to produce a second all clients together send; default 400.
	Rate int
	// Timeout of one attempt; default 3 s. A long poll gets its wait on top.
	Timeout time.Duration
	// Takeover is the mean life of a session that is taken over; default 1 s.
	Takeover time.Duration
	// Everywhere sends each request of a named producer to all brokers at the same moment.
	Everywhere bool
	// BigPayloads adds messages of up to 100 kB, one in fifty.
	BigPayloads bool
	// Seed of all random choices.
	Seed uint64
	// Recorder gets the operations; default a new one.
	Recorder *history.Recorder
}

func (o Options) withDefaults() Options {
	for _, n := range []struct {
		value *int
		unset int
	}{
		{&o.Topics, 2},
		{&o.Producers, 3},
		{&o.Takeovers, 1},
		{&o.Unsequenced, 1},
		{&o.Readers, 1},
		{&o.Pollers, 1},
		{&o.Consumers, 1},
		{&o.Plain, 1},
		{&o.Seekers, 1},
		{&o.Rate, 400},
	} {
		if *n.value == 0 {
			*n.value = n.unset
		}
		*n.value = max(*n.value, 0)
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Takeover == 0 {
		o.Takeover = time.Second
	}
	if o.Recorder == nil {
		o.Recorder = history.NewRecorder()
	}
	if o.Prefix == "" {
		o.Prefix = "w"
	}
	return o
}
