package main

import (
	"slices"
	"time"

	"github.com/topiq/topiq/client"
)

// history is all that was seen in one run. What is true of it is decided afterwards, see
// verify_checks.go, and from nothing else.
type history struct {
	plan scenario
	seed uint64

	sessions []*session
	views    []*view // of the consumers that read while messages were sent
	final    []*view // of one that began when everything was over, one for each topic
	ends     map[string]client.Topic
	traffic  trafficCount
	kills    []kill
	// wantKills says that the broker was to be killed.
	wantKills bool

	// failure is why the run was given up before its end; empty if it was not.
	failure string
	// problems did not end the run.
	problems []string
}

// session is one producer on one topic.
type session struct {
	topic, producer string
	planned         int
	sent            int // lines below may be stored
	acks            []ack
	problem         string // why it ended before its last line
}

// ack is a message that the broker said is stored.
type ack struct {
	line      int
	offset    int64
	duplicate bool // an earlier attempt had stored it
}

// view is what one consumer got of one topic, in the order in which it got it.
type view struct {
	topic, reader string
	seen          []sighting
	problem       string // why it ended before the end of the topic
}

// sighting is one message that a consumer got.
type sighting struct {
	offset   int64
	text     string
	producer string
	seq      int64
	created  time.Time
}

// kill is one kill -9 of the broker.
type kill struct {
	// InFlight is how many requests to produce were under way when the signal was sent.
	InFlight int `json:"in_flight"`
	// Unanswered is how many got no answer from then until the broker was back.
	Unanswered int `json:"unanswered"`
}

// finalReader is the name of the consumer that reads everything once more.
const finalReader = "the final read"

func sightingOf(m client.Message) sighting {
	s := sighting{offset: m.Offset, text: string(m.Value), producer: m.ProdName, seq: client.NoSeq, created: m.CreatedAt}
	if m.Seq != nil {
		s.seq = *m.Seq
	}
	return s
}

// allViews are those of all consumers of a topic, the final one last.
func (h *history) allViews(topic string) (views []*view) {
	for _, v := range slices.Concat(h.views, h.final) {
		if v.topic == topic {
			views = append(views, v)
		}
	}
	return views
}

// finalView is nil if the final read did not take place.
func (h *history) finalView(topic string) *view {
	for _, v := range h.final {
		if v.topic == topic {
			return v
		}
	}
	return nil
}

func (h *history) sessionsOf(topic string) (sessions []*session) {
	for _, s := range h.sessions {
		if s.topic == topic {
			sessions = append(sessions, s)
		}
	}
	return sessions
}

// sent is how many lines each session may have stored, by its first tag.
func (h *history) sent() map[tag]int {
	sent := make(map[tag]int, len(h.sessions))
	for _, s := range h.sessions {
		sent[tag{s.topic, s.producer, 0}] = s.sent
	}
	return sent
}

// duplicates counts the messages that were answered as stored before.
func (h *history) duplicates() (n int) {
	for _, s := range h.sessions {
		for _, a := range s.acks {
			if a.duplicate {
				n++
			}
		}
	}
	return n
}
