package dbtest

import (
	"context"
	"fmt"

	"github.com/topiq/topiq/service"
)

func duplicateTests() []test {
	return []test{
		{"GetTheirOriginalOffsets", duplicatesGetOriginalOffsets},
		{"AreFoundInsideOneGroup", duplicatesInsideOneGroup},
		{"AreFoundInAnyLaterSession", duplicatesInLaterSessions},
		{"AreFoundWithoutBeingNextToEachOther", duplicatesInRuns},
		{"OverlapStoresTheNewPartOnly", overlap},
		{"GapIsRefused", gap},
		{"OtherMessageUnderASeqIsRefused", seqReused},
		{"TraceContextIsNotCompared", traceContext},
		{"OfTrimmedMessagesHaveNoOffset", trimmedDuplicates},
		{"BelongToOneTopicAndName", duplicatesBelongToTopicAndName},
		{"AreAdvancedInThePlan", duplicatesAreWritten},
	}
}

func duplicatesGetOriginalOffsets(k *kit) {
	head := k.topic("a")
	p, q := k.producer(head.Name, "p"), k.producer(head.Name, "q")
	k.answers(k.append(send(q, "x"), sendSeq(p, 0, "0", "1", "2")), "-@0*1", "0@1*3")
	for i := range 20 {
		k.answers(k.append(sendSeq(q, int64(i), "q"), sendSeq(p, int64(3+i), "p")),
			fmt.Sprintf("%d@%d*1", i, 4+2*i), fmt.Sprintf("%d@%d*1", 3+i, 5+2*i))
	}
	for _, row := range []struct {
		repeat service.AppendRequest
		want   string
	}{
		{sendSeq(p, 0, "0", "1", "2"), "0@1*3 dup"},
		{sendSeq(p, 1, "1"), "1@2*1 dup"},
		{sendSeq(p, 1, "1", "2"), "1@2*2 dup"},
		{sendSeq(q, 19, "q"), "19@42*1 dup"},
		{sendSeq(p, 22, "p"), "22@43*1 dup"},
		{expecting(0, within(head.Incarnation, inSession(p, sendSeq(p, 3, "p")))), "3@5*1 dup"},
	} {
		k.answers(k.append(row.repeat), row.want)
	}
	equal(k, "Next", k.head(head.Name).Next, 44)
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	p.NextSeq, p.LastOffset, p.Count = 23, 43, 23
	equal(k, "producer", row, p)
}

func duplicatesInsideOneGroup(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(
		sendSeq(p, 0, "0", "1"), sendSeq(p, 0, "0", "1"), sendSeq(p, 1, "1", "2"), sendSeq(p, 0, "0", "1", "2"),
		sendSeq(p, 2, "other"), sendSeq(p, 4, "4"), sendSeq(p, 3, "3"), sendSeq(p, 4, "4")),
		"0@0*2", "0@0*2 dup", "1@1*2", "0@0*3 dup",
		"seq_reused seq=2", "seq_gap expected_seq=3", "3@3*1", "4@4*1")
	k.holds(head.Name, "0", "1", "2", "3", "4")
}

func duplicatesInLaterSessions(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(inSession(p, sendSeq(p, 0, "0", "1"))), "0@0*2")
	k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
	k.answers(k.append(sendSeq(p, 0, "0")), "0@0*1 dup")
	later := k.producer(head.Name, "p")
	equal(k, "NextSeq of the later session", later.NextSeq, 2)
	k.answers(k.append(inSession(later, sendSeq(later, 1, "1")), inSession(later, sendSeq(later, 1, "1", "2"))),
		"1@1*1 dup", "1@1*2")
	k.holds(head.Name, "0", "1", "2")
}

func duplicatesInRuns(k *kit) {
	head := k.topic("a")
	p, q := k.producer(head.Name, "p"), k.producer(head.Name, "q")
	k.answers(k.append(sendSeq(p, 0, "0", "1"), send(q, "x"), sendSeq(p, 2, "2"), send(q, "y", "z")),
		"0@0*2", "-@2*1", "2@3*1", "-@4*2")
	k.answers(k.append(sendSeq(p, 0, "0", "1", "2")), "0@0*2 2@3*1 dup")
	k.answers(k.append(sendSeq(p, 1, "1", "2", "3", "4")), "1@1*1 2@3*1 3@6*2")
}

func overlap(k *kit) {
	head := k.topic("a")
	p, q := k.producer(head.Name, "p"), k.producer(head.Name, "")
	k.answers(k.append(sendSeq(p, 0, "0", "1")), "0@0*2")
	k.answers(k.append(sendSeq(p, 1, "1", "2")), "1@1*2")
	k.answers(k.append(send(q, "x"), sendSeq(p, 0, "0", "1", "2", "3", "4")), "-@3*1", "0@0*3 3@4*2")
	k.answers(k.append(sendSeq(p, 4, "other", "5")), "seq_reused seq=4")
	k.answers(k.append(expecting(5, sendSeq(p, 4, "4", "5"))), "append_conflict next_offset=6")
	k.answers(k.append(expecting(6, sendSeq(p, 4, "4", "5"))), "4@5*2")
	k.holds(head.Name, "0", "1", "2", "x", "3", "4", "5")
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	p.NextSeq, p.LastOffset, p.Count = 6, 6, 6
	equal(k, "producer", row, p)
}

func gap(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 1, "1"), sendSeq(p, service.MaxInteger, "x")),
		"seq_gap expected_seq=0", "seq_gap expected_seq=0")
	k.answers(k.append(sendSeq(p, 0, "0"), sendSeq(p, 2, "2"), sendSeq(p, 1, "1"), sendSeq(p, 2, "2")),
		"0@0*1", "seq_gap expected_seq=1", "1@1*1", "2@2*1")
	k.holds(head.Name, "0", "1", "2")
}

func seqReused(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	original := sendSeq(p, 0, "0", "1")
	original.Payloads[1].Headers = service.Headers{"a": "1", "b": "2"}
	k.answers(k.append(original), "0@0*2")
	for name, second := range map[string]service.Payload{
		"bytes":          {Bytes: []byte("2"), Headers: service.Headers{"a": "1", "b": "2"}},
		"longer bytes":   {Bytes: []byte("1\x00"), Headers: service.Headers{"a": "1", "b": "2"}},
		"no bytes":       {Headers: service.Headers{"a": "1", "b": "2"}},
		"kind":           {Bytes: []byte("1"), Binary: true, Headers: service.Headers{"a": "1", "b": "2"}},
		"header's value": {Bytes: []byte("1"), Headers: service.Headers{"a": "1", "b": "3"}},
		"header's name":  {Bytes: []byte("1"), Headers: service.Headers{"a": "1", "c": "2"}},
		"fewer headers":  {Bytes: []byte("1"), Headers: service.Headers{"a": "1"}},
		"more headers":   {Bytes: []byte("1"), Headers: service.Headers{"a": "1", "b": "2", "c": ""}},
		"no headers":     {Bytes: []byte("1")},
	} {
		other := sendSeq(p, 0, "0", "1", "new")
		other.Payloads[1] = second
		k.Logf("another %s", name)
		k.answers(k.append(other), "seq_reused seq=1")
	}
	k.answers(k.append(original), "0@0*2 dup")
	k.holds(head.Name, "0", "1")
}

func traceContext(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	r := sendSeq(p, 0, "0")
	r.Payloads[0].Headers = service.Headers{"a": "1", "traceparent": "00-1", "tracestate": "x"}
	k.answers(k.append(r), "0@0*1")
	for _, headers := range []service.Headers{
		{"a": "1", "traceparent": "00-2", "tracestate": "y"},
		{"a": "1", "traceparent": "00-2"},
		{"a": "1"},
	} {
		again := sendSeq(p, 0, "0")
		again.Payloads[0].Headers = headers
		k.answers(k.append(again), "0@0*1 dup")
	}
	k.answers(k.append(sendSeq(p, 0, "0")), "seq_reused seq=0")
	equal(k, "headers stored", k.log(head.Name)[0].Headers, r.Payloads[0].Headers)
}

func trimmedDuplicates(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1", "2", "3")), "0@0*4")
	again := func() {
		k.Helper()
		k.answers(k.append(sendSeq(p, 0, "0", "1"), sendSeq(p, 1, "other", "2", "3"), sendSeq(p, 3, "3")),
			"0@-*2 dup", "1@-*1 2@2*2 dup", "3@3*1 dup")
	}
	_, err := k.Trim(k.Context(), head.ID, 2)
	k.ok(err)
	again()
	k.sweep(100)
	again()
	k.answers(k.append(sendSeq(p, 1, "1", "2", "3", "4")), "1@-*1 2@2*3")
	_, err = k.Trim(k.Context(), head.ID, 5)
	k.ok(err)
	k.answers(k.append(sendSeq(p, 0, "0", "1", "2", "3", "4", "5")), "0@-*5 5@5*1")
	k.holds(head.Name, "5")
}

func duplicatesBelongToTopicAndName(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	p, q, other := k.producer(a.Name, "p"), k.producer(a.Name, "P"), k.producer(b.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "p"), sendSeq(q, 0, "q"), sendSeq(other, 0, "other")),
		"0@0*1", "0@1*1", "0@0*1")
	k.answers(k.append(sendSeq(other, 0, "other"), sendSeq(q, 0, "q"), sendSeq(p, 0, "p")),
		"0@0*1 dup", "0@1*1 dup", "0@0*1 dup")
}

// duplicatesAreWritten checks the plan that is answered, for the broker acts on it.
func duplicatesAreWritten(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	plan, err := k.Append(k.Context(), []service.AppendRequest{sendSeq(p, 0, "0", "1")}, start())
	k.ok(err)
	equal(k, "topics of the plan", len(plan.Topics), 1)
	equal(k, "head of the plan", plan.Topics[0].Head, k.head(head.Name))
	equal(k, "messages of the plan", plan.Topics[0].Messages, k.log(head.Name))
	equal(k, "incarnation", plan.Results[0].Incarnation, head.Incarnation)
	plan, err = k.Append(k.Context(), []service.AppendRequest{sendSeq(p, 0, "0", "1")}, start())
	k.ok(err)
	equal(k, "topics of a duplicate's plan", plan.Topics, nil)
	equal(k, "producers of a duplicate's plan", plan.Producers, []service.ProducerAdvance{{
		NamedProducer: service.NamedProducer{Topic: head.ID, Name: "p"}, NextSeq: 2, LastOffset: 1, Exists: true,
	}})
	equal(k, "incarnation of a duplicate's answer", plan.Results[0].Incarnation, head.Incarnation)
}

// endedContext requires that whatever is answered when the context has ended is true.
func endedContext(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	ended, end := context.WithCancel(k.Context())
	end()
	_, err := k.Append(ended, []service.AppendRequest{sendSeq(p, 0, "0")}, start())
	switch refusal(err) {
	case "ok":
		k.holds(head.Name, "0")
	case "unavailable":
		k.holds(head.Name)
	case "outcome_unknown":
	default:
		k.Fatalf("got %v", err)
	}
	k.append(sendSeq(p, 0, "0"))
	k.holds(head.Name, "0")
}
