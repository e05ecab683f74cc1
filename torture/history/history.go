// Package history records what clients asked of brokers and what they were told: all that the
// checkers judge.
package history

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Kind is what an operation asked for.
type Kind string

// The kinds of operations.
const (
	Produce   Kind = "produce"
	Register  Kind = "register"   // of a named producer
	Read      Kind = "read"       // moves nothing
	ConsumeAt Kind = "consume_at" // with an offset, which it commits
	Consume   Kind = "consume"    // plain: answers one message and moves by one
	Seek      Kind = "seek"       // set_offset
	State     Kind = "state"      // of a consumer
	Produced  Kind = "produced"   // the state of a producer
)

// Outcome is what the client knows about an operation's effect.
type Outcome uint8

// The outcomes. Which HTTP answer means which is a rule of the protocol: 2xx is OK, 4xx is Fail,
// and everything else is Info. A connection that was never made is Fail as well: nothing was sent.
const (
	Info Outcome = iota // unknown: it may have had its effect, may have it later, or never
	OK
	Fail // it had no effect and will have none
)

// String implements fmt.Stringer.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Fail:
		return "fail"
	default:
		return "info"
	}
}

// Never is when an operation with an unknown outcome ends.
const Never = math.MaxInt64

// None stands for an offset, a seq or an epoch that is not there.
const None = -1

// CodeNotSent is the code of an attempt for which no connection was made.
const CodeNotSent = "not_sent"

// CodeNoAnswer is the code of an attempt that got no whole answer.
const CodeNoAnswer = "no_answer"

// Message is one message that somebody was shown.
type Message struct {
	Offset  int64
	Content Digest // of its kind, bytes and headers
	Name    string // of the producer, empty if there is none
	Seq     int64  // None if there is none
	Created int64  // microseconds since 1970
}

// Value is one message that was sent. No two messages of a history have the same content, except
// the attempts to send one.
type Value struct {
	Content Digest
	Tag     string // what to call it in a report
}

// Op is one attempt: one HTTP request and its answer.
type Op struct {
	Client  string
	Broker  int // index among the brokers of the round
	Kind    Kind
	Topic   string
	Name    string // of the named producer or the consumer; empty if it has none
	Invoke  int64  // nanoseconds since the beginning of the recording
	Return  int64  // likewise, Never if the outcome is unknown
	Outcome Outcome
	Status  int    // 0 without an answer
	Code    string // the stable code of a refusal

	Incarnation string // as answered

	// Of a named producer. Epoch and Seq of an unsequenced produce are None. NextSeq is what
	// Register and Produced answered.
	Epoch, Seq, NextSeq int64
	Values              []Value
	// Mutant says that the bytes are not those of the first attempt under that seq (I15).
	Mutant    bool
	Duplicate bool
	// Offsets of the values, once answered; None for one that was trimmed.
	Offsets []int64

	// Of a read: the offset asked for (None if the broker chose), the limit, what came, where to go
	// on, and the end that the broker named (None if it named none). Of Seek and State: Offset is
	// the position that was set or shown.
	Offset, Limit, Next, End int64
	Messages                 []Message
}

// String describes the operation for a report.
func (o *Op) String() string {
	s := fmt.Sprintf("%s by %s on %s through broker %d at %s", o.Kind, o.Client, o.Topic, o.Broker, At(o.Invoke))
	if o.Seq != None {
		s += fmt.Sprintf(" (name %s, epoch %d, seq %d, %d messages)", o.Name, o.Epoch, o.Seq, len(o.Values))
	}
	s += ": " + o.Outcome.String()
	if o.Code != "" {
		s += " " + o.Code
	}
	return s
}

// At shows a time of the history.
func At(ns int64) string {
	if ns == Never {
		return "never"
	}
	return fmt.Sprintf("%.3f s", float64(ns)/1e9)
}

// Recorder collects operations from many goroutines. Its zero value is not usable.
type Recorder struct {
	begun time.Time

	mu  sync.Mutex
	ops []*Op
}

// NewRecorder begins a recording now.
func NewRecorder() *Recorder { return &Recorder{begun: time.Now()} }

// Now is the time since the beginning, on the monotonic clock.
func (r *Recorder) Now() int64 { return int64(time.Since(r.begun)) }

// Since converts a time to that of the history.
func (r *Recorder) Since(t time.Time) int64 { return int64(t.Sub(r.begun)) }

// Add records an operation that has returned or will never.
func (r *Recorder) Add(op *Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// Ops returns what was recorded so far, in the order in which it returned.
func (r *Recorder) Ops() []*Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.ops)
}
