package dbtest

import "github.com/topiq/topiq/service"

// againTests are about re-runs: the same request once more, because nobody knows what became of it (P9).
func againTests() []test {
	return []test{
		{"WhatIsThereIsAnswered", againFound},
		{"WhatIsNotThereIsStored", againStored},
		{"HalfOfARequestIsNotFound", againHalf},
		{"FencedMeanwhile", againFenced},
		{"UnregisteredMeanwhile", againUnregistered},
		{"AnotherMessageIsNotTheOneThatIsLookedFor", againOther},
		{"ForeignProducerIsRefused", againForeign},
		{"TopicGoneMeanwhileStaysUnknown", againTopicGone},
		{"IncarnationChangedMeanwhileStaysUnknown", againIncarnation},
		{"TrimmedMeanwhile", againTrimmed},
		{"EveryTopicIsWritten", againWritesAll},
	}
}

// again makes requests those of a re-run.
func again(requests ...service.AppendRequest) []service.AppendRequest {
	for i := range requests {
		requests[i].Again = true
	}
	return requests
}

// againFound: the answer is where the first attempt put it, and never a duplicate, for it was
// perhaps this very request that appended it.
func againFound(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1"), send(p, "x"), sendSeq(p, 2, "2")), "0@0*2", "-@2*1", "2@3*1")
	before, row := k.head(head.Name), k.named(head.Name, "p")
	for range 2 {
		k.answers(k.append(again(sendSeq(p, 0, "0", "1"), sendSeq(p, 2, "2"))...), "0@0*2", "2@3*1")
		k.answers(k.append(again(sendSeq(p, 1, "1", "2"))...), "1@1*1 2@3*1")
	}
	equal(k, "head", k.head(head.Name), before)
	equal(k, "producer", k.named(head.Name, "p"), row)
	k.holds(head.Name, "0", "1", "x", "2")
	k.answers(k.append(sendSeq(p, 2, "2")), "2@3*1 dup") // and the client's own repeat is one
}

func againStored(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(again(
		inSession(p, sendSeq(p, 0, "0")), sendSeq(p, 1, "1", "2"), sendSeq(p, 4, "4"), expecting(7, sendSeq(p, 3, "3")))...),
		"0@0*1", "1@1*2", "seq_gap expected_seq=3", "append_conflict next_offset=3")
	k.holds(head.Name, "0", "1", "2")
	k.answers(k.append(again(sendSeq(p, 0, "0"), sendSeq(p, 3, "3"))...), "0@0*1", "3@3*1")
	k.holds(head.Name, "0", "1", "2", "3")
}

// againHalf: a request is stored as a whole or not at all, so one of which a part is there was not.
func againHalf(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1")), "0@0*2")
	k.producer(head.Name, "p")
	k.answers(k.append(again(inSession(p, sendSeq(p, 1, "1", "2")))...), "producer_fenced epoch=2")
	k.answers(k.append(again(sendSeq(p, 1, "1", "2"))...), "1@1*2")
	k.holds(head.Name, "0", "1", "2")
}

func againFenced(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(inSession(p, sendSeq(p, 0, "0"))), "0@0*1")
	k.producer(head.Name, "p")
	k.answers(k.append(again(inSession(p, sendSeq(p, 0, "0")), inSession(p, sendSeq(p, 1, "1")))...),
		"0@0*1", "producer_fenced epoch=2")
	k.holds(head.Name, "0")
}

// againUnregistered: the id that was sent may be gone, the name under which it was stored is not.
func againUnregistered(k *kit) {
	head := k.topic("a")
	anonymous, named := k.producer(head.Name, ""), k.producer(head.Name, "p")
	k.answers(k.append(as("p", sendSeq(anonymous, 0, "0")), inSession(named, sendSeq(named, 1, "1"))), "0@0*1", "1@1*1")
	for _, p := range []service.Producer{anonymous, named} {
		k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
	}
	k.answers(k.append(again(as("p", sendSeq(anonymous, 0, "0")), inSession(named, sendSeq(named, 1, "1")),
		as("p", sendSeq(anonymous, 2, "2")))...), "0@0*1", "1@1*1", "producer_not_found")
	k.holds(head.Name, "0", "1")
}

func againOther(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1")), "0@0*2")
	k.answers(k.append(again(sendSeq(p, 0, "0", "other"), sendSeq(p, 0, "other"))...), "seq_reused seq=1", "seq_reused seq=0")
	k.producer(head.Name, "p")
	k.answers(k.append(again(inSession(p, sendSeq(p, 0, "other")))...), "producer_fenced epoch=2")
	k.holds(head.Name, "0", "1")
}

// againForeign: a name that is not the producer's own is refused, though the message is there. An id
// that is not known is not, for it may have been.
func againForeign(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	p, q, stranger := k.producer(head.Name, "p"), k.producer(head.Name, "q"), k.producer(other.Name, "s")
	k.answers(k.append(sendSeq(p, 0, "0")), "0@0*1")
	r := as("p", sendSeq(stranger, 0, "0"))
	r.Topic = head.ID
	k.answers(k.append(again(as("p", sendSeq(q, 0, "0")), r)...), "invalid_request field=prod_name", "0@0*1")
	k.answers(k.append(again(r, sendSeq(stranger, 0, "x"))...), "0@0*1", "0@0*1")
	r.Seq = 1
	k.answers(k.append(again(r)...), "producer_not_found")
	k.holds(head.Name, "0")
}

func againTopicGone(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	p, q := k.producer(head.Name, "p"), k.producer(other.Name, "q")
	k.answers(k.append(sendSeq(p, 0, "0")), "0@0*1")
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	k.topic("a")
	k.answers(k.append(again(sendSeq(p, 0, "0"), sendSeq(q, 0, "0"), sendSeq(p, 1, "1"))...),
		"outcome_unknown", "0@0*1", "outcome_unknown")
	k.answers(k.append(again(sendSeq(p, 0, "0"))...), "outcome_unknown")
	k.holds(head.Name)
}

func againIncarnation(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(within(head.Incarnation, sendSeq(p, 0, "0"))), "0@0*1")
	_, err := k.NewIncarnation(k.Context(), head.Name, "another")
	k.ok(err)
	k.answers(k.append(again(within(head.Incarnation, sendSeq(p, 0, "0")), within(head.Incarnation, sendSeq(p, 1, "1")))...),
		"outcome_unknown", "outcome_unknown")
	k.answers(k.append(again(within("another", sendSeq(p, 0, "0")), sendSeq(p, 0, "0"))...), "0@0*1", "0@0*1")
	k.holds(head.Name, "0")
}

func againTrimmed(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1")), "0@0*2")
	_, err := k.Trim(k.Context(), head.ID, 1)
	k.ok(err)
	k.producer(head.Name, "p")
	k.answers(k.append(again(inSession(p, sendSeq(p, 0, "0", "1")))...), "0@-*1 1@1*1")
	k.holds(head.Name, "1")
}

// againWritesAll: the commit that confirms the answers must have something of every topic in it, even
// of those where nothing is new, nothing was ever stored, or all is refused.
func againWritesAll(k *kit) {
	a, b, c := k.topic("a"), k.topic("b"), k.topic("c")
	p, q, r := k.producer(a.Name, "p"), k.producer(b.Name, "q"), k.producer(c.Name, "r")
	k.answers(k.append(sendSeq(p, 0, "0")), "0@0*1")
	heads := []service.Head{k.head(a.Name), k.head(b.Name), k.head(c.Name)}
	plan, err := k.Append(k.Context(), again(sendSeq(p, 0, "0"), sendSeq(q, 1, "x"), within("other", sendSeq(r, 0, "x"))), start())
	k.ok(err)
	k.answers(plan.Results, "0@0*1", "seq_gap expected_seq=0", "outcome_unknown")
	var written []service.Head
	for i := range plan.Topics {
		written = append(written, plan.Topics[i].Head)
		equal(k, "new messages", len(plan.Topics[i].Messages), 0)
	}
	equal(k, "heads that are written", written, heads)
	equal(k, "heads that are stored", []service.Head{k.head(a.Name), k.head(b.Name), k.head(c.Name)}, heads)
}

func (k *kit) named(topic service.TopicName, name string) service.Producer {
	k.Helper()
	row, err := k.Producer(k.Context(), topic, name)
	k.ok(err)
	return row
}
