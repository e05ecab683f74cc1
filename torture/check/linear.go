package check

import (
	"cmp"
	"slices"

	"github.com/topiq/topiq/torture/history"
)

// Linear checks a whole history against what is there in the end, in O(n log n): because an
// acknowledgement names an offset, no search for an order is needed.
func Linear(ops []*history.Op, final *Final, rules Rules) (Findings, Counts) {
	var f Findings
	byTopic := map[string][]*history.Op{}
	for _, op := range ops {
		byTopic[op.Topic] = append(byTopic[op.Topic], op)
	}
	counts := Counts{Ops: len(ops)}
	for name, topic := range final.Topics {
		if len(topic.Contents) == 0 {
			f.Otherwise("topic %s was not read in the end", name)
			continue
		}
		s := newScan(&f, name, byTopic[name], topic, rules)
		s.everything()
		counts.Acked += s.counts.Acked
		counts.Unknown += s.counts.Unknown
		counts.UnknownStored += s.counts.UnknownStored
		delete(byTopic, name)
	}
	for name := range byTopic {
		f.Otherwise("topic %s was used, and not read in the end", name)
	}
	return f, counts
}

// scan is the check of one topic.
type scan struct {
	f      *Findings
	name   string
	ops    []*history.Op
	topic  *Topic
	rules  Rules
	final  *Content
	at     map[int64]*history.Message // the final content by offset
	bySeq  map[seqOf]*history.Message
	sends  map[history.Digest]*sends
	counts Counts
}

type seqOf struct {
	name string
	seq  int64
}

// sends are all attempts to send one value.
type sends struct {
	value     history.Value
	name      string
	seq       int64
	attempts  int
	refused   int
	mutant    bool
	maxEpoch  int64
	invoked   int64 // the first attempt
	returned  int64 // the first acknowledgement, Never if there is none
	offset    int64 // as acknowledged, None if it was not
	unknown   bool  // some attempt has an unknown outcome
	found     bool  // the first acknowledgement said that an earlier attempt had stored it
	leads     bool  // it is the first message of its request
	acked     *history.Op
	retryable bool
}

func newScan(f *Findings, name string, ops []*history.Op, topic *Topic, rules Rules) *scan {
	s := &scan{
		f: f, name: name, ops: ops, topic: topic, rules: rules, final: &topic.Contents[0],
		at: map[int64]*history.Message{}, bySeq: map[seqOf]*history.Message{}, sends: map[history.Digest]*sends{},
	}
	for i := range s.final.Messages {
		m := &s.final.Messages[i]
		s.at[m.Offset] = m
	}
	return s
}

func (s *scan) everything() {
	s.collect()
	s.dense()
	s.agree()
	s.content()
	s.seqs()
	s.acknowledged()
	s.realTime()
	s.reads()
	s.ends()
	s.sessions()
	s.consumers()
	s.refusals()
}

// current says whether an operation was answered under the incarnation that is there in the end. A
// loss that the incarnation told of is excused for what was answered before.
func (s *scan) current(op *history.Op) bool {
	return !s.rules.MayLose || op.Incarnation == "" || s.final.Incarnation == "" || op.Incarnation == s.final.Incarnation
}

// collect gathers what was sent.
func (s *scan) collect() {
	for _, op := range s.ops {
		if op.Kind != history.Produce {
			continue
		}
		switch op.Outcome {
		case history.OK:
			s.counts.Acked++
		case history.Info:
			s.counts.Unknown++
		default:
		}
		for i, v := range op.Values {
			s.collectValue(op, i, v)
		}
	}
}

func (s *scan) collectValue(op *history.Op, i int, v history.Value) {
	e := s.sends[v.Content]
	if e == nil {
		e = &sends{value: v, name: op.Name, seq: history.None, invoked: op.Invoke, returned: history.Never, offset: history.None, maxEpoch: op.Epoch}
		if op.Seq != history.None {
			e.seq, e.retryable = op.Seq+int64(i), true
		}
		// A mutant carries unchanged messages beside the changed one; those were sent before.
		e.mutant = op.Mutant
		s.sends[v.Content] = e
	}
	e.attempts++
	e.leads = e.leads || i == 0
	e.invoked = min(e.invoked, op.Invoke)
	e.maxEpoch = max(e.maxEpoch, op.Epoch)
	switch op.Outcome {
	case history.Fail:
		e.refused++
	case history.Info:
		e.unknown = true
	case history.OK:
		if e.returned > op.Return {
			e.returned, e.found = op.Return, op.Duplicate
		}
		if i >= len(op.Offsets) || op.Offsets[i] == history.None || !s.current(op) {
			return
		}
		if e.acked != nil && e.offset != op.Offsets[i] {
			s.f.say(&s.f.Duplicate, "I12: %s was acknowledged at offset %d and at offset %d of %s", v.Tag, e.offset, op.Offsets[i], s.name)
		}
		e.acked, e.offset = op, op.Offsets[i]
	}
}

// dense checks that the offsets are first, first+1, … next-1 (I4).
func (s *scan) dense() {
	want := s.final.First
	for i := range s.final.Messages {
		m := &s.final.Messages[i]
		switch {
		case m.Offset > want:
			s.f.say(&s.f.Gap, "I4: offsets %d to %d of %s are not there", want, m.Offset-1, s.name)
		case m.Offset < want:
			s.f.Otherwise("I4: offset %d of %s came after %d", m.Offset, s.name, want-1)
		}
		want = m.Offset + 1
	}
	if s.final.Next != want {
		s.f.say(&s.f.Gap, "I4: %s ends before offset %d, and its last message is at %d", s.name, s.final.Next, want-1)
	}
}

// agree checks that all who read the topic in the end saw the same (I5, I18).
func (s *scan) agree() {
	for i := range s.topic.Contents[1:] {
		other := &s.topic.Contents[i+1]
		if len(other.Messages) != len(s.final.Messages) || other.First != s.final.First || other.Next != s.final.Next {
			s.f.Otherwise("I5: %s has %d messages, %d to before %d, for %s, and %d, %d to before %d, for %s",
				s.name, len(s.final.Messages), s.final.First, s.final.Next, s.final.Source,
				len(other.Messages), other.First, other.Next, other.Source)
			continue
		}
		for j := range other.Messages {
			if a, b := &s.final.Messages[j], &other.Messages[j]; *a != *b {
				s.f.Otherwise("I5: offset %d of %s is %s for %s and %s for %s", a.Offset, s.name, s.tag(a), s.final.Source, s.tag(b), other.Source)
				break
			}
		}
	}
}

// tag is what to call a message.
func (s *scan) tag(m *history.Message) string {
	if e := s.sends[m.Content]; e != nil {
		return e.value.Tag
	}
	return "content " + m.Content.String()
}

// content checks that each message was sent (I2, I15) and is there no more often than it was (I3,
// I16).
func (s *scan) content() {
	times := map[history.Digest]int{}
	for i := range s.final.Messages {
		m := &s.final.Messages[i]
		e := s.sends[m.Content]
		switch {
		case e == nil:
			s.f.say(&s.f.Ghost, "I2: offset %d of %s (%s, seq %d) is nothing that anybody sent", m.Offset, s.name, m.Name, m.Seq)
			continue
		case e.mutant:
			s.f.say(&s.f.Ghost, "I15: %s was stored at offset %d of %s, although its seq had other bytes before", e.value.Tag, m.Offset, s.name)
		case e.refused == e.attempts:
			s.f.say(&s.f.Ghost, "I2: %s is at offset %d of %s, although every attempt to send it was refused", e.value.Tag, m.Offset, s.name)
		case e.name != m.Name || e.seq != m.Seq:
			s.f.Otherwise("I1: %s was sent as (%s, %d) and is at offset %d of %s as (%s, %d)", e.value.Tag, e.name, e.seq, m.Offset, s.name, m.Name, m.Seq)
		}
		if e.leads && e.unknown && (e.found || e.returned == history.Never) {
			s.counts.UnknownStored++
		}
		times[m.Content]++
		allowed := 1
		if !e.retryable {
			if allowed = e.attempts - e.refused; s.rules.Doubled {
				allowed = times[m.Content]
			}
		}
		if times[m.Content] > allowed {
			s.f.say(&s.f.Duplicate, "I3: %s is there %d times, the last at offset %d of %s", e.value.Tag, times[m.Content], m.Offset, s.name)
		}
	}
}

// seqs checks each producer's messages: one for each seq (I3), none skipped (I13), and in order
// (I6).
func (s *scan) seqs() {
	next := map[string]int64{}
	last := map[string]int64{}
	for i := range s.final.Messages {
		m := &s.final.Messages[i]
		if m.Seq == history.None {
			continue
		}
		key := seqOf{m.Name, m.Seq}
		if before := s.bySeq[key]; before != nil {
			s.f.say(&s.f.Duplicate, "I3: (%s, seq %d) is at offsets %d and %d of %s", m.Name, m.Seq, before.Offset, m.Offset, s.name)
			continue
		}
		s.bySeq[key] = m
		if was, ok := last[m.Name]; ok && m.Seq < was {
			s.f.say(&s.f.Reordered, "I6: %s's seq %d is at offset %d of %s, after its seq %d", m.Name, m.Seq, m.Offset, s.name, was)
		}
		last[m.Name] = max(last[m.Name], m.Seq)
		next[m.Name] = max(next[m.Name], m.Seq+1)
	}
	if s.final.First > 0 {
		return // what was trimmed cannot be missed
	}
	for name, n := range next {
		for seq := range n {
			if s.bySeq[seqOf{name, seq}] == nil {
				s.f.say(&s.f.Gap, "I13: %s's seq %d is not in %s, but a later one is", name, seq, s.name)
			}
		}
	}
}

// acknowledged checks that what was acknowledged is where the acknowledgement says (I1, I10).
func (s *scan) acknowledged() {
	for _, e := range s.sends {
		if e.acked == nil || e.offset < s.final.First {
			continue
		}
		m := s.at[e.offset]
		switch {
		case e.mutant:
			s.f.Otherwise("I15: %s was acknowledged, although its seq had other bytes before", e.value.Tag)
		case m == nil:
			s.f.say(&s.f.Lost, "I1: %s was acknowledged at offset %d of %s at %s and is not there", e.value.Tag, e.offset, s.name, history.At(e.returned))
		case m.Content != e.value.Content:
			s.f.say(&s.f.Lost, "I1: %s was acknowledged at offset %d of %s at %s, where %s is", e.value.Tag, e.offset, s.name, history.At(e.returned), s.tag(m))
		}
	}
}

// realTime checks that what was acknowledged before something else was sent comes before it (I7):
// from the last offset to the first, the earliest acknowledgement seen so far must not be earlier
// than the sending of the message at hand.
func (s *scan) realTime() {
	earliest := int64(history.Never)
	var which *sends
	for i := range slices.Backward(s.final.Messages) {
		m := &s.final.Messages[i]
		e := s.sends[m.Content]
		if e == nil || !e.retryable && e.attempts > 1 {
			continue
		}
		if e.acked != nil && !s.current(e.acked) {
			continue
		}
		if e.invoked > earliest {
			s.f.say(&s.f.Reordered, "I7: %s was sent at %s, after the acknowledgement of %s at %s, but comes before it in %s",
				e.value.Tag, history.At(e.invoked), which.value.Tag, history.At(earliest), s.name)
		}
		if e.returned < earliest {
			earliest, which = e.returned, e
		}
	}
}

// ack is an acknowledgement by time.
type ack struct{ at, next int64 }

// watermark tells the largest value that was known at a time.
type watermark []ack

func newWatermark(list []ack) watermark {
	slices.SortFunc(list, func(a, b ack) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(list); i++ {
		list[i].next = max(list[i].next, list[i-1].next)
	}
	return list
}

// before is the largest value known before a time, 0 if there was none.
func (w watermark) before(at int64) int64 {
	i, _ := slices.BinarySearchFunc(w, at, func(a ack, at int64) int { return cmp.Compare(a.at, at) })
	if i == 0 {
		return 0
	}
	return w[i-1].next
}
