package check

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/topiq/topiq/torture/history"
)

// Searched is what a search came to.
type Searched string

// The results of a search.
const (
	Explained   Searched = "explained"   // an order of all operations was found
	Unexplained Searched = "unexplained" // there is none
	Undecided   Searched = "undecided"   // it took too long
)

// Search looks for one order of all operations on a topic that explains what every client was told:
// a second opinion, which shares nothing with Linear but the history. The state of the log is its
// end, a chained hash of all messages and, for each producer, its epoch and next seq: constant in
// size, which makes the search fast.
func Search(ops []*history.Op, content *Content, atMost time.Duration) (result Searched, count int) {
	at := map[history.Digest]int64{}
	for i := range content.Messages {
		at[content.Messages[i].Content] = content.Messages[i].Offset
	}
	var list []porcupine.Operation
	for _, op := range ops {
		if e, ok := newEvent(op, at); ok {
			list = append(list, porcupine.Operation{ClientId: len(list), Input: e, Call: op.Invoke, Return: op.Return})
		}
	}
	// What is there in the end is what one more read saw after everything.
	whole := event{kind: history.Read, end: content.Next, hash: chain(content.Messages)}
	list = append(list, porcupine.Operation{ClientId: len(list), Input: whole, Call: math.MaxInt64, Return: math.MaxInt64})
	switch porcupine.CheckOperationsTimeout(logModel(), list, atMost) {
	case porcupine.Ok:
		return Explained, len(list)
	case porcupine.Illegal:
		return Unexplained, len(list)
	default:
		return Undecided, len(list)
	}
}

// event is one operation as the model sees it.
type event struct {
	kind    history.Kind
	outcome history.Outcome
	name    string
	epoch   int64
	seq     int64 // None: without one
	next    int64 // of a register
	found   bool  // of a produce: its first message is at that offset in the end
	fenced  bool
	offset  int64 // of a produce: where its first message is in the end
	values  string
	n       int64
	end     int64 // of a read
	hash    uint64
}

// newEvent makes the event of an operation; false if it says nothing: it was not sent, or is known to
// have had no effect and nothing was told, or read only a part.
func newEvent(op *history.Op, at map[history.Digest]int64) (event, bool) {
	e := event{kind: op.Kind, outcome: op.Outcome, name: op.Name, epoch: op.Epoch, seq: op.Seq, next: op.NextSeq}
	switch op.Kind {
	case history.Produce:
		return produceEvent(e, op, at)
	case history.Register:
		return e, op.Outcome == history.Info || op.Outcome == history.OK && op.Epoch != history.None
	case history.Read:
		e.end, e.hash = op.End, chain(op.Messages)
		return e, op.Outcome == history.OK && op.Offset == 0 && op.Next == op.End
	default:
		return e, false
	}
}

func produceEvent(e event, op *history.Op, at map[history.Digest]int64) (event, bool) {
	if op.Mutant {
		return e, op.Outcome == history.OK // which no state explains: see step
	}
	e.fenced = op.Code == "producer_fenced"
	if op.Outcome == history.Fail {
		return e, e.fenced
	}
	// One that is not there had no effect; one that was acknowledged must be there.
	offset, there := at[op.Values[0].Content]
	if !there && op.Outcome == history.Info {
		return e, false
	}
	e.offset, e.n = offset, int64(len(op.Values))
	if op.Outcome == history.OK && len(op.Offsets) > 0 {
		e.offset = op.Offsets[0]
	}
	e.found = there && e.offset == offset
	var values strings.Builder
	for _, v := range op.Values {
		values.Write(v.Content[:])
	}
	e.values = values.String()
	return e, true
}

// logState is the state of the log. It is comparable.
type logState struct {
	end       int64
	hash      uint64
	producers string // "name epoch next;" sorted by name
}

type producerState struct {
	name        string
	epoch, next int64
}

func (s logState) list() (list []producerState) {
	for entry := range strings.SplitSeq(s.producers, ";") {
		fields := strings.Fields(entry)
		if len(fields) != 3 {
			continue
		}
		epoch, _ := strconv.ParseInt(fields[1], 10, 64)
		next, _ := strconv.ParseInt(fields[2], 10, 64)
		list = append(list, producerState{fields[0], epoch, next})
	}
	return list
}

func (s logState) producer(name string) producerState {
	for _, p := range s.list() {
		if p.name == name {
			return p
		}
	}
	return producerState{name: name}
}

func (s logState) with(changed producerState) logState {
	list := slices.DeleteFunc(s.list(), func(p producerState) bool { return p.name == changed.name })
	list = append(list, changed)
	slices.SortFunc(list, func(a, b producerState) int { return strings.Compare(a.name, b.name) })
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s %d %d;", p.name, p.epoch, p.next)
	}
	s.producers = b.String()
	return s
}

// link extends the chained hash by one message.
func link(hash uint64, content []byte) uint64 {
	const prime = 1099511628211
	for ; len(content) >= 8; content = content[8:] {
		hash = (hash ^ binary.BigEndian.Uint64(content)) * prime
		hash ^= hash >> 29
	}
	return hash
}

func chain(messages []history.Message) (hash uint64) {
	for i := range messages {
		hash = link(hash, messages[i].Content[:])
	}
	return hash
}

func logModel() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{logState{}} },
		Step: func(state, input, _ any) []any {
			s, ok := state.(logState)
			e, eventOK := input.(event)
			if !ok || !eventOK {
				return nil
			}
			var next []any
			for _, n := range s.step(&e) {
				next = append(next, n)
			}
			return next
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return model.ToModel()
}

// step lists the states that the log may be in after an event, none if the event cannot have
// happened in this one.
func (s logState) step(e *event) []logState {
	switch e.kind {
	case history.Read:
		if s.end == e.end && s.hash == e.hash {
			return []logState{s}
		}
		return nil
	case history.Register:
		return s.register(e)
	default:
		return s.produce(e)
	}
}

func (s logState) register(e *event) []logState {
	p := s.producer(e.name)
	opened := s.with(producerState{p.name, p.epoch + 1, p.next})
	switch {
	case e.outcome == history.Info:
		return []logState{s, opened}
	case p.next != e.next:
		return nil
	case p.epoch == e.epoch: // asked again
		return []logState{s}
	case p.epoch+1 == e.epoch:
		return []logState{opened}
	}
	return nil
}

func (s logState) produce(e *event) []logState {
	p := s.producer(e.name)
	if e.outcome == history.Fail { // fenced
		if p.epoch > e.epoch {
			return []logState{s}
		}
		return nil
	}
	var next []logState
	stored := e.found && e.seq != history.None && p.next >= e.seq+e.n && s.end > e.offset
	// What was acknowledged may have been stored before, also if it is not called a duplicate: a broker
	// that lost the answer to its COMMIT looks whether the message is there, and cannot tell its own from
	// that of an earlier request. The session may have been fenced meanwhile (P9).
	if e.outcome == history.Info || stored {
		next = append(next, s)
	}
	if s.end == e.offset && (e.seq == history.None || p.next == e.seq && p.epoch == e.epoch) && e.n > 0 {
		appended := s
		appended.end += e.n
		for content := []byte(e.values); len(content) > 0; content = content[16:] {
			appended.hash = link(appended.hash, content[:16])
		}
		if e.seq != history.None {
			appended = appended.with(producerState{p.name, p.epoch, p.next + e.n})
		}
		next = append(next, appended)
	}
	return next
}
