package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what a run came to. Its fields are the JSON; its table is for people.
type report struct {
	Passed     bool     `json:"passed"`
	Run        string   `json:"run"`
	Seed       uint64   `json:"seed"`
	URL        string   `json:"url"`
	Child      bool     `json:"child"`
	Version    string   `json:"version"`
	Engine     string   `json:"engine"`
	Durability string   `json:"durability"`
	Unsafe     []string `json:"unsafe,omitempty"`
	Seconds    float64  `json:"seconds"`

	Topics     []topicReport `json:"topics"`
	Produce    trafficCount  `json:"produce"`
	Duplicates int           `json:"duplicates"`
	Kills      []kill        `json:"kills,omitempty"`
	Checks     []verdict     `json:"checks"`
}

// topicReport counts the messages of one topic.
type topicReport struct {
	Name         string         `json:"name"`
	Producers    []string       `json:"producers"`
	Messages     int            `json:"messages"`
	Acknowledged int            `json:"acknowledged"`
	Consumed     []readerReport `json:"consumed"`
	Stored       int            `json:"stored"` // as the final read found
}

// readerReport is how many messages of a topic one consumer got.
type readerReport struct {
	Consumer string `json:"consumer"`
	Messages int    `json:"messages"`
}

// prefix is that of the names of the topics on the broker.
func (r *report) prefix() string { return "verify-" + r.Run + "-" }

// add adds what was seen, and what follows from it.
func (r *report) add(h *history, took time.Duration) {
	r.Seconds = float64(took.Milliseconds()) / 1000
	for _, t := range h.plan.topics {
		topic := topicReport{Name: t.label, Producers: t.producers, Messages: t.messages}
		for _, s := range h.sessionsOf(t.label) {
			topic.Acknowledged += len(s.acks)
		}
		for _, v := range h.views {
			if v.topic == t.label {
				topic.Consumed = append(topic.Consumed, readerReport{v.reader, len(v.seen)})
			}
		}
		if v := h.finalView(t.label); v != nil {
			topic.Stored = len(v.seen)
		}
		r.Topics = append(r.Topics, topic)
	}
	r.Produce, r.Duplicates, r.Kills, r.Checks = h.traffic, h.duplicates(), h.kills, judge(h)
	r.Passed = len(r.failed()) == 0
}

// failed are the checks that did not pass.
func (r *report) failed() (names []string) {
	for _, v := range r.Checks {
		if v.Result != resultPassed {
			names = append(names, v.Name)
		}
	}
	return names
}

// failure is the error of a run that did not pass.
func (r *report) failure() error {
	failed := r.failed()
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks did not pass: %s", len(failed), len(r.Checks), strings.Join(failed, ", "))
}

func (r *report) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// maxColumns is how many consumers have a column of their own.
const maxColumns = 8

// readers are the consumers of all topics, by the order in which they come up.
func (r *report) readers() (names []string) {
	for _, t := range r.Topics {
		for _, c := range t.Consumed {
			if !slices.Contains(names, c.Consumer) {
				names = append(names, c.Consumer)
			}
		}
	}
	return names
}

// consumed is the cells of a topic's consumers.
func (t *topicReport) consumed(readers []string) []string {
	if len(readers) > maxColumns {
		counts := make([]int, len(t.Consumed))
		for i, c := range t.Consumed {
			counts[i] = c.Messages
		}
		if len(counts) == 0 {
			return []string{"-", "-"}
		}
		return []string{strconv.Itoa(slices.Min(counts)), strconv.Itoa(slices.Max(counts))}
	}
	cells := make([]string, len(readers))
	for i, name := range readers {
		cells[i] = "-"
		for _, c := range t.Consumed {
			if c.Consumer == name {
				cells[i] = strconv.Itoa(c.Messages)
			}
		}
	}
	return cells
}
