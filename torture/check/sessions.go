package check

import (
	"slices"

	"github.com/topiq/topiq/torture/history"
)

// sessions checks fencing (I14): after the answer of a register with epoch e and next_seq n,
// everything below n is there, and what is there from n on was sent under e or a later epoch.
func (s *scan) sessions() {
	opened := map[string]map[int64]*history.Op{}
	for _, op := range s.ops {
		if op.Kind != history.Register || op.Outcome != history.OK || op.Epoch == history.None || !s.current(op) {
			continue
		}
		byEpoch := opened[op.Name]
		if byEpoch == nil {
			byEpoch = map[int64]*history.Op{}
			opened[op.Name] = byEpoch
		}
		if other := byEpoch[op.Epoch]; other != nil {
			s.f.Otherwise("I14: two sessions of %s have epoch %d: %s and %s", op.Name, op.Epoch, other, op)
		}
		byEpoch[op.Epoch] = op
	}
	for name, byEpoch := range opened {
		s.fenced(name, byEpoch)
	}
}

func (s *scan) fenced(name string, byEpoch map[int64]*history.Op) {
	registers := make([]*history.Op, 0, len(byEpoch))
	for _, op := range byEpoch {
		registers = append(registers, op)
	}
	slices.SortFunc(registers, func(a, b *history.Op) int { return int(a.Epoch - b.Epoch) })
	for i, r := range registers {
		if i > 0 && registers[i-1].NextSeq > r.NextSeq {
			s.f.say(&s.f.Lost, "I14: %s had next_seq %d in epoch %d and %d in epoch %d", name, registers[i-1].NextSeq, registers[i-1].Epoch, r.NextSeq, r.Epoch)
		}
		// What the register told its client to be stored. Only the last few are looked at one by
		// one: those before were in the count of an earlier register, or the gap is found by seqs.
		if r.NextSeq > 0 && s.final.First == 0 && s.bySeq[seqOf{name, r.NextSeq - 1}] == nil {
			s.f.say(&s.f.Lost, "I14: %s was told next_seq %d in epoch %d, but seq %d is not in %s", name, r.NextSeq, r.Epoch, r.NextSeq-1, s.name)
		}
	}
	// Walk the stored messages; for each seq, the latest register whose next_seq is not above it.
	for key, m := range s.bySeq {
		if key.name != name {
			continue
		}
		e := s.sends[m.Content]
		i, _ := slices.BinarySearchFunc(registers, key.seq, func(r *history.Op, seq int64) int {
			if r.NextSeq <= seq {
				return -1
			}
			return 1
		})
		if e == nil || i == 0 {
			continue
		}
		if r := registers[i-1]; e.maxEpoch < r.Epoch {
			s.f.Otherwise("I14: %s of epoch %d is at offset %d of %s, although epoch %d had begun at seq %d",
				e.value.Tag, e.maxEpoch, m.Offset, s.name, r.Epoch, r.NextSeq)
		}
	}
	s.lateAcks(name, registers)
}

// lateAcks finds produces of a fenced session that were begun after the next session's register had
// been answered, and succeeded.
func (s *scan) lateAcks(name string, registers []*history.Op) {
	for _, op := range s.ops {
		if op.Kind != history.Produce || op.Outcome != history.OK || op.Name != name || op.Epoch == history.None || !s.current(op) {
			continue
		}
		for _, r := range slices.Backward(registers) {
			if r.Epoch <= op.Epoch {
				break
			}
			// What an earlier attempt had stored is told of at any time: a broker that lost the answer to a
			// COMMIT looks for the seq before it judges the session (P9). The register knew of it.
			if r.Return < op.Invoke && op.Seq+int64(len(op.Values)) > r.NextSeq {
				s.f.Otherwise("I14: %s succeeded, although epoch %d had begun at %s", op, r.Epoch, history.At(r.Return))
				break
			}
		}
	}
}

// consumers checks committed offsets (I11), each consumer by the operations of its only user.
func (s *scan) consumers() {
	byName := map[string][]*history.Op{}
	for _, op := range s.ops {
		switch op.Kind {
		case history.ConsumeAt, history.Consume, history.Seek, history.State:
			byName[op.Name] = append(byName[op.Name], op)
		default:
		}
	}
	for name, ops := range byName {
		if s.rules.MayLose {
			continue // positions may go back with the messages
		}
		p := &position{s: s, name: name}
		slices.SortStableFunc(ops, func(a, b *history.Op) int {
			switch {
			case a.Invoke < b.Invoke:
				return -1
			case a.Invoke > b.Invoke:
				return 1
			default:
				return 0
			}
		})
		for _, op := range ops {
			p.step(op)
			p.recent = append(p.recent, op)
			p.recent = p.recent[max(0, len(p.recent)-recentOps):]
		}
		if end, ok := s.topic.Consumers[name]; ok {
			p.final(end)
		}
	}
}

// recentOps is how many operations a violation shows that came before it.
const recentOps = 8

// position follows what is known of one consumer's committed offset. Its user does one thing at a
// time, but an operation with an unknown outcome may have its effect at any time after.
type position struct {
	s    *scan
	name string

	low, high int64 // the position is in this range, unknown seeks aside
	lazy      int64 // the highest offset that was sent to be committed
	committed int64 // the last commit by a consume that was acknowledged
	seeks     []int64
	usesLazy  bool

	recent []*history.Op // that came before, the last few
}

func (p *position) step(op *history.Op) {
	switch op.Kind {
	case history.ConsumeAt:
		p.usesLazy = true
		if op.Outcome != history.Fail {
			p.lazy = max(p.lazy, op.Offset)
		}
		if op.Outcome == history.OK {
			if op.Offset < p.committed {
				p.s.f.Otherwise("I11: %s went back from %d: %s", p.name, p.committed, op)
			}
			p.committed = max(p.committed, op.Offset)
		}
	case history.Consume:
		switch op.Outcome {
		case history.Info:
			p.high++
		case history.OK:
			if op.Next <= p.low || op.Next > p.high+1 {
				p.wrong(op.Next, op)
			}
			p.low, p.high = op.Next, max(p.high+1, op.Next)
		default:
		}
	case history.Seek:
		switch op.Outcome {
		case history.Info:
			p.seeks = append(p.seeks, op.Offset)
		case history.OK:
			p.low, p.high = op.Offset, op.Offset
		default:
		}
	case history.State:
		if op.Outcome == history.OK {
			p.shown(op.Offset, op)
		}
	default:
	}
}

// shown checks a position that somebody was told.
func (p *position) shown(offset int64, op *history.Op) {
	switch {
	case p.usesLazy:
		if offset > p.lazy {
			p.s.f.Otherwise("I11: %s is at %d, but it never said that it has more than %d: %s", p.name, offset, p.lazy, op)
		}
	case offset < p.low || offset > p.high:
		p.wrong(offset, op)
	}
}

func (p *position) wrong(offset int64, op *history.Op) {
	if slices.Contains(p.seeks, offset) || len(p.seeks) > 0 && op.Kind == history.Consume {
		return
	}
	p.s.f.Otherwise("I11: %s of %s is at %d, and must be from %d to %d: %s; before that: %s",
		p.name, p.s.name, offset, p.low, p.high, op, p.recent)
}

// final checks the position that is there in the end: a lazy commit was flushed at shutdown.
func (p *position) final(offset int64) {
	op := &history.Op{
		Client: "the final look", Kind: history.State, Topic: p.s.name, Outcome: history.OK,
		Seq: history.None, Invoke: history.Never,
	}
	if offset > p.s.final.Next {
		p.s.f.Otherwise("I11: %s of %s is at %d, and the topic ends at %d", p.name, p.s.name, offset, p.s.final.Next)
	}
	if p.usesLazy && offset < p.committed {
		p.s.f.Otherwise("I11: %s of %s is at %d in the end, and had committed %d", p.name, p.s.name, offset, p.committed)
	}
	p.shown(offset, op)
}
