package main

import (
	"fmt"

	"github.com/topiq/topiq/client"
)

// check is one thing that must be true of a history.
type check struct {
	name, claim string
	// partly says that a history which was given up may break it too. One that does not has proved
	// nothing.
	partly bool
	find   func(h *history, f *findings)
}

// findings are the violations of one check. Only the first are kept: one fault can make thousands.
type findings struct {
	count    int
	examples []string
}

const maxExamples = 5

func (f *findings) add(format string, args ...any) {
	if f.count++; len(f.examples) < maxExamples {
		f.examples = append(f.examples, fmt.Sprintf(format, args...))
	}
}

// result is what a check came to.
type result string

const (
	resultPassed  result = "passed"
	resultFailed  result = "failed"
	resultNotMade result = "not made" // counts as failed
)

// verdict is a check that was made, or could not be.
type verdict struct {
	Name       string   `json:"name"`
	Claim      string   `json:"claim"`
	Result     result   `json:"result"`
	Violations int      `json:"violations"`
	Examples   []string `json:"examples,omitempty"`
}

func checks(wantKills bool) []check {
	list := []check{
		{"run", "every producer, consumer and broker came to its end", true, findProblems},
		{"acknowledged", "the broker acknowledged every message", false, findUnacknowledged},
		{"none lost", "every consumer got every acknowledged message", false, findLost},
		{"none twice", "no consumer got a message twice", true, findDoubled},
		{"none made up", "every message is one that was sent, byte for byte", true, findMadeUp},
		{"same order", "all consumers of a topic got the same messages in the same order", true, findOrder},
		{"producer order", "each producer's messages are in the order in which it sent them", true, findProducerOrder},
		{"dense offsets", "the offsets of a topic are 0, 1, 2, ...", true, findHoles},
		{"acknowledged place", "each message is at the offset that was acknowledged", false, findMoved},
		{"unchanged", "reading again gave what was got before, with the same name, seq and time", false, findChanged},
		{"description", "the broker describes each topic as it is", false, findMisdescribed},
	}
	if wantKills {
		list = append(list, check{"kills", "the broker was killed while it had requests to produce", false, findKills})
	}
	return list
}

// judge makes all checks. It is a function of the history alone.
func judge(h *history) []verdict {
	list := checks(h.wantKills)
	verdicts := make([]verdict, len(list))
	for i, c := range list {
		var f findings
		if h.failure == "" || c.partly {
			c.find(h, &f)
		}
		verdicts[i] = verdict{c.name, c.claim, resultPassed, f.count, f.examples}
		switch {
		case f.count > 0:
			verdicts[i].Result = resultFailed
		case h.failure != "":
			verdicts[i].Result = resultNotMade
		}
	}
	return verdicts
}

func findProblems(h *history, f *findings) {
	if h.failure != "" {
		f.add("%s", h.failure)
	}
	for _, p := range h.problems {
		f.add("%s", p)
	}
	for _, s := range h.sessions {
		if s.problem != "" {
			f.add("%s on %s ended after %d of %d messages: %s", s.producer, s.topic, len(s.acks), s.planned, s.problem)
		}
	}
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			if v.problem != "" {
				f.add("%s on %s ended after %d messages: %s", v.reader, v.topic, len(v.seen), v.problem)
			}
		}
	}
}

func findUnacknowledged(h *history, f *findings) {
	for _, s := range h.sessions {
		answered := make(map[int]bool, len(s.acks))
		for _, a := range s.acks {
			answered[a.line] = true
		}
		for line := range s.planned {
			if !answered[line] {
				f.add("%s was not acknowledged", tag{s.topic, s.producer, line})
			}
		}
	}
}

func findMisdescribed(h *history, f *findings) {
	for _, t := range h.plan.topics {
		final, ok := h.ends[t.label]
		if !ok {
			f.add("%s was not described", t.label)
			continue
		}
		if final.FirstOffset != 0 || final.Messages != final.NextOffset-final.FirstOffset {
			f.add("%s has %d messages from %d to before %d", t.label, final.Messages, final.FirstOffset, final.NextOffset)
		}
		if v := h.finalView(t.label); v == nil || int64(len(v.seen)) != final.NextOffset {
			f.add("%s has %d messages, but another number was read", t.label, final.NextOffset)
		}
		producers, consumers := int64(len(t.producers)), int64(len(h.plan.consumersOf(t.label)))
		if final.Producers != producers || final.Consumers != consumers {
			f.add("%s has %d producers and %d consumers, but %d and %d were registered",
				t.label, final.Producers, final.Consumers, producers, consumers)
		}
		findMiscounted(h, t, f)
	}
}

// findMiscounted compares how many messages carry a producer's name with how many it sent.
func findMiscounted(h *history, t topicPlan, f *findings) {
	stored := map[string]int{}
	if v := h.finalView(t.label); v != nil {
		for i := range v.seen {
			stored[v.seen[i].producer]++
		}
	}
	for _, s := range h.sessionsOf(t.label) {
		if n := stored[s.producer]; n < len(s.acks) || n > s.sent {
			f.add("%s has %d messages of %s, which sent %d and had %d acknowledged", t.label, n, s.producer, s.sent, len(s.acks))
		}
		delete(stored, s.producer)
	}
	for name, n := range stored {
		f.add("%s has %d messages of %q, which is no producer of it", t.label, n, name)
	}
}

// findKills makes sure that the kills were worth something: one that cut nothing off tests nothing.
func findKills(h *history, f *findings) {
	inFlight, unanswered := 0, 0
	for _, k := range h.kills {
		inFlight += k.InFlight
		unanswered += k.Unanswered
	}
	switch {
	case len(h.kills) == 0:
		f.add("the broker was never killed: the run was over before")
	case inFlight == 0 || unanswered == 0:
		f.add("%d kills came when no request was under way that then got no answer", len(h.kills))
	}
}

// noOffset reports an acknowledgement without a place, which only retention explains.
func (a ack) noOffset() bool { return a.offset == client.NoOffset }
