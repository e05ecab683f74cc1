package service

import (
	"context"
	"fmt"
)

// Violations returns how often something was found that must never be: a read with a hole, an append
// that is not where it should be. Each has stopped its topic (I21).
func (b *Broker) Violations() int64 { return b.counters.violations.Load() }

// stopTopic refuses a topic from now on, because what is stored contradicts itself: better no answer
// than a wrong one. Other topics go on.
func (b *Broker) stopTopic(ctx context.Context, t *topic, cause error) error {
	err := t.stopFor(cause)
	b.violated(ctx, t, err)
	return err
}

// violated counts and logs why a topic is stopped.
func (b *Broker) violated(ctx context.Context, t *topic, err error) {
	b.counters.violations.Add(1)
	b.log.ErrorContext(ctx, "what is stored contradicts itself; the topic is stopped", "topic", t.name, "error", err)
}

// checkAppend checks what a store says it has appended against what it was asked to: each answer is
// about all of its request, each new message is in an answer, and the seq of each producer went on
// without a gap to what is now expected next. That the messages are at consecutive offsets behind
// all others is checked by publish. It returns the topics for which this does not hold.
//
// The store has these values from PlanAppend, so a difference means that it gave them back changed,
// or that PlanAppend is wrong.
func checkAppend(requests []AppendRequest, plan *AppendPlan) map[TopicID]error {
	wrong := map[TopicID]error{}
	if len(plan.Results) != len(requests) {
		for i := range requests {
			wrong[requests[i].Topic] = fmt.Errorf("%d answers to %d requests", len(plan.Results), len(requests))
		}
		return wrong
	}
	added := make(map[TopicID]*TopicAppend, len(plan.Topics))
	covered := make(map[TopicID][]bool, len(plan.Topics))
	for i := range plan.Topics {
		t := &plan.Topics[i]
		added[t.Head.ID], covered[t.Head.ID] = t, make([]bool, len(t.Messages))
	}
	for i := range requests {
		id := requests[i].Topic
		if err := checkAnswer(&requests[i], &plan.Results[i], added[id], covered[id]); err != nil {
			wrong[id] = err
		}
	}
	for id, t := range added {
		for i, is := range covered[id] {
			if !is {
				wrong[id] = fmt.Errorf("offset %d was appended for no request", t.Messages[i].Offset)
			}
		}
	}
	checkProducers(plan, added, wrong)
	return wrong
}

// checkAnswer checks one answer, and marks the new messages that it names.
func checkAnswer(r *AppendRequest, result *AppendResult, added *TopicAppend, covered []bool) error {
	if result.Err != nil {
		return nil //nolint:nilerr // a refusal names nothing that could be wrong
	}
	if n := count(result.Ranges); n != len(r.Payloads) || n != result.Count {
		return fmt.Errorf("an answer about %d messages has ranges of %d, and %d were sent", result.Count, n, len(r.Payloads))
	}
	if len(covered) == 0 {
		return nil
	}
	first := added.Head.Next - Offset(len(covered))
	for _, known := range result.Ranges {
		if known.Offset < 0 {
			continue // trimmed
		}
		if known.Offset+Offset(known.Count) > added.Head.Next {
			return fmt.Errorf("an answer names %d messages at %d, beyond the end at %d", known.Count, known.Offset, added.Head.Next)
		}
		// What was stored before lies below, in the same range if the new messages follow on.
		for at := max(known.Offset, first); at < known.Offset+Offset(known.Count); at++ {
			covered[at-first] = true
		}
	}
	return nil
}

// checkProducers checks that each producer goes on where its new messages end.
func checkProducers(plan *AppendPlan, added map[TopicID]*TopicAppend, wrong map[TopicID]error) {
	type progress struct {
		stored int64
		last   *Message // with a seq
	}
	made := make(map[NamedProducer]progress, len(plan.Producers))
	for id, t := range added {
		for i := range t.Messages {
			m := &t.Messages[i]
			key := NamedProducer{id, m.ProdName}
			p := made[key]
			p.stored++
			if m.Seq != NoSeq {
				if p.last != nil && m.Seq != p.last.Seq+1 {
					wrong[id] = fmt.Errorf("seq %d of %q follows on %d", m.Seq, m.ProdName, p.last.Seq)
				}
				p.last = m
			}
			made[key] = p
		}
	}
	for i := range plan.Producers {
		advance := &plan.Producers[i]
		p := made[advance.NamedProducer]
		delete(made, advance.NamedProducer)
		switch {
		case advance.AddCount != p.stored:
			wrong[advance.Topic] = fmt.Errorf("the count of %q grew by %d for other messages", advance.Name, advance.AddCount)
		case p.last != nil && (advance.NextSeq != p.last.Seq+1 || advance.LastOffset != p.last.Offset):
			wrong[advance.Topic] = fmt.Errorf("seq %d of %q is at %d, and its producer expects %d after %d",
				p.last.Seq, advance.Name, p.last.Offset, advance.NextSeq, advance.LastOffset)
		}
	}
	for key := range made {
		if key.Name != "" {
			wrong[key.Topic] = fmt.Errorf("messages of %q were appended, and its producer was not advanced", key.Name)
		}
	}
}

// answers are the results of an append, but for the requests on topics that it was wrong about: what
// became of those is not known.
func answers(requests []AppendRequest, results []AppendResult, wrong map[TopicID]error) []AppendResult {
	if len(wrong) == 0 {
		return results
	}
	kept := make([]AppendResult, len(requests))
	for i := range requests {
		if cause := wrong[requests[i].Topic]; cause != nil {
			kept[i].Err = ErrInternal.Because(cause)
			continue
		}
		kept[i] = results[i]
	}
	return kept
}
