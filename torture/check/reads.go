package check

import (
	"github.com/topiq/topiq/gen/wire"

	"github.com/topiq/topiq/torture/history"
)

// reads checks every read against the final content: it begins where it was asked to, has no hole,
// and shows what is there in the end (I5, I8, I16).
func (s *scan) reads() {
	// Under an incarnation that is gone the final content says nothing; but what two reads showed
	// must still agree.
	gone := map[string]map[int64]history.Message{}
	for _, op := range s.ops {
		if op.Outcome != history.OK || op.Kind != history.Read && op.Kind != history.ConsumeAt && op.Kind != history.Consume {
			continue
		}
		s.shape(op)
		for i := range op.Messages {
			m := &op.Messages[i]
			if s.current(op) {
				if !s.same(op, m) {
					break
				}
				continue
			}
			seen := gone[op.Incarnation]
			if seen == nil {
				seen = map[int64]history.Message{}
				gone[op.Incarnation] = seen
			}
			if before, ok := seen[m.Offset]; ok && before != *m {
				s.f.Otherwise("I5: offset %d of %s was %s and then %s under one incarnation", m.Offset, s.name, s.tag(&before), s.tag(m))
				break
			}
			seen[m.Offset] = *m
		}
	}
}

// shape checks that a read is one run from where it was asked to begin.
func (s *scan) shape(op *history.Op) {
	first := op.Offset
	if op.Kind == history.Consume {
		first = op.Next - 1
	}
	for i := range op.Messages {
		if got := op.Messages[i].Offset; got != first+int64(i) {
			s.f.Otherwise("I8: a read from offset %d of %s has offset %d in place %d: %s", first, s.name, got, i, op)
			return
		}
	}
	if n := int64(len(op.Messages)); op.Next != first+n || op.Limit > 0 && n > op.Limit {
		s.f.Otherwise("I8: a read from offset %d of %s, at most %d, has %d messages and goes on at %d: %s", first, s.name, op.Limit, n, op.Next, op)
	}
}

// same checks one message that was shown; it returns false if it is not there any more as it was.
func (s *scan) same(op *history.Op, m *history.Message) bool {
	if m.Offset < s.final.First {
		return true
	}
	now := s.at[m.Offset]
	switch {
	case now == nil:
		s.f.say(&s.f.Lost, "I16: offset %d of %s was shown to %s as %s and is not there", m.Offset, s.name, op.Client, s.tag(m))
		return false
	case *now != *m:
		s.f.Otherwise("I5: offset %d of %s was shown to %s as %s (%s, %d, time %d) and is %s (%s, %d, time %d)",
			m.Offset, s.name, op.Client, s.tag(m), m.Name, m.Seq, m.Created, s.tag(now), now.Name, now.Seq, now.Created)
		return false
	}
	return true
}

// ends checks what reads said of the end of the topic: a read that was begun after an
// acknowledgement, or after another read, knows of all that those knew (I9), and no read knows of
// more than there is (I10).
func (s *scan) ends() {
	var known, shown []ack
	for _, op := range s.ops {
		if op.Outcome != history.OK || !s.current(op) {
			continue
		}
		for _, offset := range op.Offsets {
			known = append(known, ack{op.Return, offset + 1})
		}
		if end, ok := endShown(op); ok {
			shown = append(shown, ack{op.Return, end})
		}
	}
	acked, seen := newWatermark(known), newWatermark(shown)
	for _, op := range s.ops {
		end, ok := endShown(op)
		if !ok || op.Outcome != history.OK || !s.current(op) {
			continue
		}
		if end > s.final.Next {
			s.f.say(&s.f.Lost, "I10: %s had %d messages for %s, and has %d in the end", s.name, end, op, s.final.Next)
		}
		if !reachedEnd(op, end) {
			continue
		}
		if least := acked.before(op.Invoke); end < least {
			s.f.Otherwise("I9: %s ended at %d, although offset %d of %s had been acknowledged before", op, end, least-1, s.name)
		}
		if least := seen.before(op.Invoke); end < least {
			s.f.Otherwise("I16: %s ended at %d, although %s had been shown up to %d before", op, end, s.name, least)
		}
	}
}

// endShown is how far an operation shows that the topic goes.
func endShown(op *history.Op) (end int64, ok bool) {
	switch op.Kind {
	case history.Read:
		return op.End, true
	case history.ConsumeAt, history.Consume:
		return op.Next, true
	default:
		return 0, false
	}
}

// reachedEnd says whether an operation claims to know the end of the topic (P12).
func reachedEnd(op *history.Op, end int64) bool {
	switch op.Kind {
	case history.Read:
		return end != history.None
	case history.ConsumeAt:
		return len(op.Messages) == 0
	default:
		return false
	}
}

// expected are the refusals that clients of the workload provoke.
func expected(op *history.Op) bool {
	switch wire.FailureCode(op.Code) {
	case history.CodeNotSent, wire.FailureCodeRateLimited, wire.FailureCodeRequestTimeout:
		return true
	case wire.FailureCodeProducerFenced:
		return op.Kind == history.Produce || op.Kind == history.Register
	case wire.FailureCodeSeqReused:
		return op.Mutant
	case wire.FailureCodeNoMessage:
		return op.Kind == history.Consume
	case wire.FailureCodeTopicNotFound:
		return op.Kind == history.Read || op.Kind == history.State || op.Kind == "describe" // before the first producer
	case wire.FailureCodeTopicExists:
		return true
	default:
		return false
	}
}

// refusals checks that nobody was refused who did nothing wrong: a broker that forgot something says
// seq_gap, unknown_epoch or offset_out_of_range. Where the incarnation may change, those are how it
// shows.
func (s *scan) refusals() {
	appended := int64(history.Never) // when the topic was first known to be there
	for _, op := range s.ops {
		if op.Outcome == history.OK {
			appended = min(appended, op.Return)
		}
	}
	for _, op := range s.ops {
		if op.Outcome != history.Fail {
			continue
		}
		if !expected(op) && (!s.rules.MayLose || !tellsOfLoss(op.Code)) {
			s.f.Otherwise("nothing was wrong with it, but it was refused: %s", op)
		}
		if op.Code == string(wire.FailureCodeTopicNotFound) && op.Invoke > appended {
			s.f.say(&s.f.Lost, "I1: topic %s had been there: %s", s.name, op)
		}
	}
	if s.rules.MayLose {
		return
	}
	for _, op := range s.ops {
		if op.Incarnation != "" && s.final.Incarnation != "" && op.Incarnation != s.final.Incarnation {
			s.f.Otherwise("P13: %s was answered under incarnation %s, and in the end it is %s, although nothing may be lost",
				op, op.Incarnation, s.final.Incarnation)
			return
		}
	}
}

// tellsOfLoss says that a refusal is how a client learns that the history of a topic changed.
func tellsOfLoss(code string) bool {
	switch wire.FailureCode(code) {
	case wire.FailureCodeIncarnationChanged, wire.FailureCodeOffsetOutOfRange, wire.FailureCodeUnknownEpoch,
		wire.FailureCodeProducerNotFound, wire.FailureCodeConsumerNotFound, wire.FailureCodeTopicNotFound,
		wire.FailureCodeSeqGap, wire.FailureCodeOffsetBehind:
		return true
	default:
		return false
	}
}
