package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/history"
)

// book is a small history and what is there in the end, of topic "t".
type book struct {
	clock int64
	ops   []*history.Op
	topic check.Topic
	rules check.Rules
}

func value(tag string) history.Value {
	return history.Value{Tag: tag, Content: history.DigestOf(false, []byte(tag), nil)}
}

func (b *book) add(op history.Op) *history.Op {
	b.clock += 10
	op.Topic, op.Client = "t", "client"
	if op.Invoke == 0 {
		op.Invoke = b.clock
	}
	switch {
	case op.Outcome == history.Info:
		op.Return = history.Never
	case op.Return == 0:
		op.Return = b.clock + 5
	}
	b.ops = append(b.ops, &op)
	return b.ops[len(b.ops)-1]
}

// produce is one attempt of producer p, epoch 1, to send tags from seq on.
func (b *book) produce(outcome history.Outcome, seq, offset int64, tags ...string) *history.Op {
	op := history.Op{Kind: history.Produce, Name: "p", Epoch: 1, Seq: seq, Outcome: outcome, NextSeq: history.None}
	for i, tag := range tags {
		op.Values = append(op.Values, value(tag))
		if outcome == history.OK {
			op.Offsets = append(op.Offsets, offset+int64(i))
		}
	}
	return b.add(op)
}

func (b *book) read(offset, end int64, messages ...history.Message) *history.Op {
	return b.add(history.Op{
		Kind: history.Read, Outcome: history.OK, Epoch: history.None, Seq: history.None,
		Offset: offset, Limit: 100, Next: offset + int64(len(messages)), End: end, Messages: messages,
	})
}

func message(offset, seq int64, tag string) history.Message {
	m := history.Message{Offset: offset, Seq: seq, Name: "p", Content: value(tag).Content, Created: offset}
	if seq == history.None {
		m.Name = ""
	}
	return m
}

// stored makes the final content: each tag is p's next seq.
func (b *book) stored(tags ...string) {
	content := check.Content{Source: "SQL", Next: int64(len(tags))}
	for i, tag := range tags {
		content.Messages = append(content.Messages, message(int64(i), int64(i), tag))
	}
	b.topic.Contents = []check.Content{content}
}

func (b *book) final() *check.Content { return &b.topic.Contents[0] }

func (b *book) check() (check.Findings, check.Counts) {
	return check.Linear(b.ops, &check.Final{Topics: map[string]*check.Topic{"t": &b.topic}}, b.rules)
}

// clean is a history in which all is well, with something of every sort.
func clean() *book {
	b := &book{}
	b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 1, Seq: history.None})
	b.produce(history.OK, 0, 0, "a", "b")
	b.produce(history.Info, 2, 0, "c")
	b.produce(history.OK, 2, 2, "c").Duplicate = true
	b.produce(history.OK, 0, 0, "a", "b").Duplicate = true
	refused := b.produce(history.Fail, 2, 0, "other c")
	refused.Mutant, refused.Code = true, "seq_reused"
	b.read(0, 3, message(0, 0, "a"), message(1, 1, "b"), message(2, 2, "c"))
	b.read(3, 3)
	b.produce(history.OK, 3, 3, "d")
	b.consume(history.ConsumeAt, history.OK, 0, 4)
	b.consume(history.ConsumeAt, history.Info, 4, 4)
	b.consume(history.ConsumeAt, history.OK, 4, 4)
	b.stored("a", "b", "c", "d")
	b.topic.Consumers = map[string]int64{"c": 4}
	return b
}

func (b *book) consume(kind history.Kind, outcome history.Outcome, offset, next int64) {
	op := history.Op{Kind: kind, Name: "c", Outcome: outcome, Offset: offset, Limit: 100, Next: next, End: history.None, Epoch: history.None, Seq: history.None}
	if outcome == history.OK && kind != history.Seek && kind != history.State {
		if kind == history.Consume {
			offset, op.Limit = next-1, 0
		}
		for i := offset; i < next; i++ {
			op.Messages = append(op.Messages, message(i, i, string(rune('a'+i))))
		}
	}
	b.add(op)
}

func TestCleanHistory(t *testing.T) {
	t.Parallel()
	f, counts := clean().check()
	if f.Violations() > 0 {
		t.Errorf("%d violations: %s", f.Violations(), strings.Join(f.Sentences, "\n"))
	}
	if want := (check.Counts{Ops: 12, Acked: 4, Unknown: 1, UnknownStored: 1}); counts != want {
		t.Errorf("counted %+v, want %+v", counts, want)
	}
}

// TestViolations breaks a clean history in one way each, which must be found as what it is.
func TestViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt func(b *book)
		want    string // the invariant in a sentence
		count   func(f *check.Findings) int
	}{
		"the last acknowledged message is lost": {func(b *book) { b.stored("a", "b", "c") }, "I1:", lost},
		"an acknowledged message is another": {
			func(b *book) { b.final().Messages[1].Content = value("c").Content }, "I1:", lost,
		},
		"a message nobody sent": {func(b *book) { b.stored("a", "b", "c", "d", "x") }, "I2:", ghost},
		"a message whose every attempt was refused": {func(b *book) {
			b.produce(history.Fail, 4, 0, "e").Code = "producer_fenced"
			b.stored("a", "b", "c", "d", "e")
		}, "I2:", ghost},
		"a seq twice": {func(b *book) {
			b.stored("a", "b", "c", "d", "c")
			b.final().Messages[4].Seq = 2
		}, "I3:", duplicate},
		"an unsequenced message twice after one attempt": {func(b *book) {
			op := b.produce(history.OK, history.None, 4, "once")
			op.Name, op.Epoch = "", history.None
			b.stored("a", "b", "c", "d", "once", "once")
			b.final().Messages[4] = message(4, history.None, "once")
			b.final().Messages[5] = message(5, history.None, "once")
		}, "I3:", duplicate},
		"an offset is skipped": {func(b *book) {
			b.produce(history.Info, 4, 0, "e")
			b.stored("a", "b", "c", "d", "e")
			b.final().Messages[4].Offset, b.final().Next = 5, 6
		}, "I4:", gap},
		"the head is ahead of the last message": {func(b *book) { b.final().Next = 5 }, "I4:", gap},
		"two brokers show different messages": {func(b *book) {
			other := *b.final()
			other.Messages = slices.Clone(other.Messages)
			other.Messages[0].Created++
			b.topic.Contents = append(b.topic.Contents, other)
		}, "I5:", other},
		"a read saw other bytes": {func(b *book) { b.read(0, 4, message(0, 0, "b")) }, "I5:", other},
		"a read saw another time": {func(b *book) {
			m := message(0, 0, "a")
			m.Created++
			b.read(0, 4, m)
		}, "I5:", other},
		"a producer's messages in another order": {func(b *book) {
			m := b.final().Messages
			m[2].Content, m[3].Content = m[3].Content, m[2].Content
			m[2].Seq, m[3].Seq = m[3].Seq, m[2].Seq
		}, "I6:", reordered},
		"sent after an acknowledgement, and stored before it": {func(b *book) {
			late := b.produce(history.OK, history.None, 0, "late")
			late.Name, late.Epoch = "", history.None
			b.stored("a", "b", "c", "d")
			m := b.final().Messages
			for i := range m {
				m[i].Offset++
			}
			b.final().Messages = append([]history.Message{message(0, history.None, "late")}, m...)
			b.final().Next = 5
		}, "I7:", reordered},
		"a read begins elsewhere":                    {func(b *book) { b.read(0, 4, message(1, 1, "b")) }, "I8:", other},
		"a read has a hole":                          {func(b *book) { b.read(0, 4, message(0, 0, "a"), message(2, 2, "c")) }, "I8:", other},
		"a read goes on elsewhere":                   {func(b *book) { b.read(0, 4, message(0, 0, "a")).Next = 2 }, "I8:", other},
		"a read has more than asked":                 {func(b *book) { b.read(0, 4, message(0, 0, "a"), message(1, 1, "b")).Limit = 1 }, "I8:", other},
		"a read does not know what was acknowledged": {func(b *book) { b.read(2, 2) }, "I9:", other},
		"a consume that finds nothing does not know": {func(b *book) {
			b.consume(history.ConsumeAt, history.OK, 4, 4)
			b.produce(history.OK, 4, 4, "e")
			b.consume(history.ConsumeAt, history.OK, 4, 4)
			b.stored("a", "b", "c", "d", "e")
		}, "I9:", other},
		"a read saw a later end": {func(b *book) { b.read(4, 6) }, "I10:", lost},
		"a commit went back": {func(b *book) {
			b.consume(history.ConsumeAt, history.OK, 2, 4)
		}, "I11:", other},
		"a commit is lost in the end": {func(b *book) { b.topic.Consumers["c"] = 3 }, "I11:", other},
		"a commit that nobody made":   {func(b *book) { b.topic.Consumers["c"] = 5 }, "I11:", other},
		"a retry got another offset":  {func(b *book) { b.produce(history.OK, 3, 2, "d") }, "I12:", duplicate},
		"a seq is skipped": {func(b *book) {
			b.produce(history.Info, 5, 0, "f")
			b.stored("a", "b", "c", "d", "f")
			b.final().Messages[4].Seq = 5
		}, "I13:", gap},
		"two sessions have one epoch": {func(b *book) {
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 1, Seq: history.None, NextSeq: 4})
		}, "I14: two sessions", other},
		"a fenced session stored something": {func(b *book) {
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 2, Seq: history.None, NextSeq: 4})
			b.produce(history.Info, 4, 0, "e")
			b.stored("a", "b", "c", "d", "e")
		}, "I14: e of epoch 1", other},
		"a fenced session was answered well": {func(b *book) {
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 2, Seq: history.None, NextSeq: 4})
			b.produce(history.OK, 4, 4, "e")
			b.stored("a", "b", "c", "d", "e")
		}, "succeeded, although epoch 2", other},
		"a register told of more than there is": {func(b *book) {
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 2, Seq: history.None, NextSeq: 5})
		}, "I14: p was told", lost},
		"next_seq went back": {func(b *book) {
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 2, Seq: history.None, NextSeq: 4})
			b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 3, Seq: history.None, NextSeq: 3})
		}, "I14: p had", lost},
		"other bytes were acknowledged": {func(b *book) { b.produce(history.OK, 3, 3, "other d").Mutant = true }, "I15:", other},
		"other bytes were stored": {func(b *book) {
			b.final().Messages[2].Content = value("other c").Content
		}, "I15:", ghost},
		"what was shown is gone": {func(b *book) { b.read(4, 4, message(4, 4, "e")) }, "I16:", lost},
		"the end went back": {func(b *book) {
			b.produce(history.Info, 4, 0, "e")
			b.read(5, 5)
			b.read(4, 4)
			b.stored("a", "b", "c", "d", "e")
		}, "I16:", other},
		"a refusal without a reason": {func(b *book) { b.produce(history.Fail, 4, 0, "e").Code = "seq_gap" }, "nothing was wrong", other},
		"the incarnation changed": {func(b *book) {
			b.ops[1].Incarnation, b.final().Incarnation = "one", "two"
		}, "P13:", other},
		"the topic was forgotten": {func(b *book) {
			op := b.read(0, 0)
			op.Outcome, op.Code = history.Fail, "topic_not_found"
		}, "had been there", lost},
		"a message under another name": {func(b *book) { b.final().Messages[0].Name = "q" }, "I1: a was sent as", other},
		"a topic was not read":         {func(b *book) { b.topic.Contents = nil }, "not read in the end", other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := clean()
			c.breakIt(b)
			f, _ := b.check()
			if c.count(&f) == 0 || !strings.Contains(strings.Join(f.Sentences, "\n"), c.want) {
				t.Errorf("found %+v, want %q counted", f, c.want)
			}
		})
	}
}

func lost(f *check.Findings) int      { return f.Lost }
func duplicate(f *check.Findings) int { return f.Duplicate }
func ghost(f *check.Findings) int     { return f.Ghost }
func reordered(f *check.Findings) int { return f.Reordered }
func gap(f *check.Findings) int       { return f.Gap }
func other(f *check.Findings) int     { return f.Other }

// TestRepeatOfFencedSession: where the answer to a COMMIT was lost, the broker looks for the seq before it
// judges the session (P9), and tells of what the register of the next session knew.
func TestRepeatOfFencedSession(t *testing.T) {
	t.Parallel()
	b := clean()
	b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: 2, Seq: history.None, NextSeq: 4})
	b.produce(history.OK, 3, 3, "d").Duplicate = true
	if f, _ := b.check(); f.Violations() > 0 {
		t.Error(f.Sentences)
	}
}

// TestLossThatIsShown: what an earlier incarnation had is excused where the rules say so, and what
// the last one acknowledged is not.
func TestLossThatIsShown(t *testing.T) {
	t.Parallel()
	b := clean()
	b.rules.MayLose = true
	for _, op := range b.ops {
		op.Incarnation = "one"
	}
	b.stored("a", "b")
	b.final().Incarnation = "two"
	if f, _ := b.check(); f.Violations() > 0 {
		t.Errorf("the loss was shown, but it was found: %v", f.Sentences)
	}
	b.produce(history.OK, 2, 2, "new").Incarnation = "two"
	if f, _ := b.check(); f.Lost == 0 {
		t.Error("a loss under the last incarnation was not found")
	}
	b = clean()
	b.rules.MayLose = true
	for _, op := range b.ops {
		op.Incarnation = "one"
	}
	b.stored("a", "b")
	b.final().Incarnation = "one"
	if f, _ := b.check(); f.Lost == 0 {
		t.Error("a loss that no incarnation shows was not found")
	}
}

// TestPlainConsumer follows a consumer without offsets: an answer that was lost may or may not have
// moved it.
func TestPlainConsumer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		work func(b *book)
		want int
	}{
		"in order": {func(b *book) {
			b.consume(history.Consume, history.OK, 0, 1)
			b.consume(history.Consume, history.OK, 0, 2)
		}, 0},
		"a lost answer moved it": {func(b *book) {
			b.consume(history.Consume, history.Info, 0, 0)
			b.consume(history.Consume, history.OK, 0, 2)
		}, 0},
		"a lost answer did not": {func(b *book) {
			b.consume(history.Consume, history.Info, 0, 0)
			b.consume(history.Consume, history.OK, 0, 1)
		}, 0},
		"it moved later": {func(b *book) {
			b.consume(history.Consume, history.Info, 0, 0)
			b.consume(history.Consume, history.OK, 0, 1)
			b.consume(history.Consume, history.OK, 0, 3)
		}, 0},
		"twice the same": {func(b *book) {
			b.consume(history.Consume, history.OK, 0, 1)
			b.consume(history.Consume, history.OK, 0, 1)
		}, 1},
		"one is skipped": {func(b *book) {
			b.consume(history.Consume, history.OK, 0, 1)
			b.consume(history.Consume, history.OK, 0, 3)
		}, 1},
		"a seek": {func(b *book) {
			b.consume(history.Consume, history.OK, 0, 1)
			b.consume(history.Seek, history.OK, 3, 0)
			b.consume(history.Consume, history.OK, 0, 4)
		}, 0},
		"a seek that may have happened": {func(b *book) { b.consume(history.Seek, history.Info, 3, 0); b.consume(history.State, history.OK, 3, 0) }, 0},
		"a seek that was forgotten":     {func(b *book) { b.consume(history.Seek, history.OK, 3, 0); b.consume(history.State, history.OK, 0, 0) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &book{}
			b.produce(history.OK, 0, 0, "a", "b", "c", "d")
			b.stored("a", "b", "c", "d")
			c.work(b)
			f, _ := b.check()
			if f.Other != c.want || f.Violations() != c.want {
				t.Errorf("found %+v, want %d", f, c.want)
			}
		})
	}
}

func TestKnownProducers(t *testing.T) {
	t.Parallel()
	b := clean()
	for state, want := range map[check.Producer]int{
		{Epoch: 1, NextSeq: 4, Count: 4}: 0,
		{Epoch: 1, NextSeq: 5, Count: 4}: 1,
		{Epoch: 1, NextSeq: 4, Count: 5}: 1,
	} {
		b.topic.Producers = map[string]check.Producer{"p": state}
		f := check.KnownProducers(&check.Final{Topics: map[string]*check.Topic{"t": &b.topic}})
		if f.Violations() != want {
			t.Errorf("%+v: %v", state, f.Sentences)
		}
	}
}
