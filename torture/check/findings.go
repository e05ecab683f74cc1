// Package check judges histories: it decides from what clients were told, and from what is stored in
// the end, whether the invariants of the log held.
package check

import (
	"fmt"
	"slices"

	"github.com/topiq/topiq/torture/history"
)

// Findings are the violations that were found.
type Findings struct {
	Lost      int // acknowledged, or shown, and not there
	Duplicate int // there twice
	Ghost     int // there, although nobody sent it, or it was refused
	Reordered int // not in the order of its producer, or of time
	Gap       int // an offset or a seq that is skipped
	Other     int // everything else
	Sentences []string
}

const maxSentences = 40

func (f *Findings) say(count *int, format string, args ...any) {
	*count++
	if len(f.Sentences) < maxSentences {
		f.Sentences = append(f.Sentences, fmt.Sprintf(format, args...))
	}
}

// Violations is how many there are in all.
func (f *Findings) Violations() int {
	return f.Lost + f.Duplicate + f.Ghost + f.Reordered + f.Gap + f.Other
}

// Add adds those of another check.
func (f *Findings) Add(other Findings) {
	f.Lost += other.Lost
	f.Duplicate += other.Duplicate
	f.Ghost += other.Ghost
	f.Reordered += other.Reordered
	f.Gap += other.Gap
	f.Other += other.Other
	f.Sentences = slices.Concat(f.Sentences, other.Sentences)
	f.Sentences = f.Sentences[:min(len(f.Sentences), maxSentences)]
}

// Otherwise adds a violation that has no count of its own.
func (f *Findings) Otherwise(format string, args ...any) { f.say(&f.Other, format, args...) }

// Content is a topic as somebody read it after everything was over.
type Content struct {
	Source      string // who read it, such as "SQL" or "broker 1"
	Incarnation string // empty if the source does not tell
	First, Next int64
	Messages    []history.Message
}

// Final is what is there in the end, by topic.
type Final struct {
	Topics map[string]*Topic
}

// Topic is what is there of one topic.
type Topic struct {
	Contents  []Content           // the first is the one that counts; all must agree
	Consumers map[string]int64    // committed offsets of named consumers; nil if unknown
	Producers map[string]Producer // nil if unknown
}

// Producer is the state of a named producer.
type Producer struct{ Epoch, NextSeq, Count int64 }

// Rules say what the faults of a round excuse.
type Rules struct {
	// MayLose excuses the loss of what was acknowledged under an earlier incarnation of a topic: the
	// loss must have been shown by the new one. Without it the incarnation must never change.
	MayLose bool
	// Doubled excuses an unsequenced message that is there more than once: the network itself sent
	// it twice (P6).
	Doubled bool
}

// Counts are what a history has of each sort.
type Counts struct {
	Ops, Acked, Unknown int
	// UnknownStored is how many requests to produce are there although the outcome of an attempt was
	// unknown, and no later attempt stored them.
	UnknownStored int
}
