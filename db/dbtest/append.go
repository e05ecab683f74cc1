package dbtest

import (
	"time"

	"github.com/topiq/topiq/service"
)

func appendTests() []test {
	return []test{
		{"MessagesGoToTheEndInOrder", messagesGoToTheEnd},
		{"OrderOfRefusals", orderOfRefusals},
		{"WrongTopicsIDIsNotFound", wrongTopicsID},
		{"MissingTopicRefusesItsOwnRequestsOnly", missingTopicAlone},
		{"RefusedRequestStoresNothing", refusedStoresNothing},
		{"GroupOverSeveralTopics", groupOverSeveralTopics},
		{"AnonymousProducerCountsUnderAnyName", anonymousUnderAnyName},
		{"SeqNeedsARegisteredName", seqNeedsRegisteredName},
		{"SeqIsStoredUnderTheNameWhicheverIDWasSent", seqUnderName},
		{"WithoutSeqNextSeqStays", withoutSeqNextSeqStays},
		{"EpochIsChecked", epochIsChecked},
		{"ExpectedOffsetIsWhereTheFirstNewMessageGoes", expectedOffset},
		{"CreatedAtNeverDecreases", createdAtNeverDecreases},
		{"EndedContextAnswersTruly", endedContext},
	}
}

func messagesGoToTheEnd(k *kit) {
	head := k.topic("a")
	p, q := k.producer(head.Name, "p"), k.producer(head.Name, "q")
	k.answers(k.append(sendSeq(p, 0, "p0", "p1"), sendSeq(q, 0, "q0"), send(q, "x")),
		"0@0*2", "0@2*1", "-@3*1")
	k.answers(k.append(sendSeq(p, 2, "p2")), "2@4*1")
	log := k.log(head.Name)
	for i, want := range []service.Message{
		{Payload: text("p0"), ProdName: "p", Seq: 0},
		{Payload: text("p1"), ProdName: "p", Seq: 1},
		{Payload: text("q0"), ProdName: "q", Seq: 0},
		{Payload: text("x"), ProdName: "q", Seq: service.NoSeq},
		{Payload: text("p2"), ProdName: "p", Seq: 2},
	} {
		want.Offset, want.CreatedAt = service.Offset(i), kept(start())
		equal(k, "message", log[i], want)
	}
	now := k.head(head.Name)
	head.Next, head.Bytes, head.LastAppend = 5, 9, kept(start())
	equal(k, "head", now, head)
	row, err := k.Producer(k.Context(), head.Name, "q")
	k.ok(err)
	q.NextSeq, q.LastOffset, q.Count = 1, 2, 2
	equal(k, "producer", row, q)
}

func text(s string) service.Payload { return service.Payload{Bytes: []byte(s)} }

// orderOfRefusals sends one request with every fault, and takes one fault after another away.
func orderOfRefusals(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	k.producer(head.Name, "p") // an earlier session
	p, stranger := k.producer(head.Name, "p"), k.producer(other.Name, "s")
	k.answers(k.append(sendSeq(p, 0, "zero", "one")), "0@0*2")
	epoch := p.Epoch - 1
	r := expecting(9, within("other", sendSeq(stranger, 0, "another", "one", "two")))
	r.Epoch = &epoch
	r.Topic = -1
	k.answers(k.append(r), "topic_not_found")
	r.Topic = head.ID
	k.answers(k.append(r), "incarnation_changed incarnation="+head.Incarnation)
	r.Incarnation = head.Incarnation
	k.answers(k.append(r), "producer_not_found")
	r.Producer = p.ID
	k.answers(k.append(r), "producer_fenced epoch=2")
	epoch = 3
	k.answers(k.append(r), "unknown_epoch epoch=2")
	epoch = 2
	k.answers(k.append(r), "seq_reused seq=0")
	r.Seq = 3
	k.answers(k.append(r), "seq_gap expected_seq=2")
	r.Seq, r.Payloads[0] = 0, text("zero")
	k.answers(k.append(r), "append_conflict next_offset=2")
	k.holds(head.Name, "zero", "one")
	*r.ExpectedOffset = 2
	k.answers(k.append(r), "0@0*3")
	k.holds(head.Name, "zero", "one", "two")
}

func wrongTopicsID(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	named, anonymous := k.producer(b.Name, "p"), k.producer(b.Name, "")
	for _, p := range []service.Producer{named, anonymous, {ID: 1}, {ID: service.ProducerID(a.ID)}} {
		p.Topic = a.ID
		k.answers(k.append(send(p, "x")), "producer_not_found")
	}
	k.holds(a.Name)
}

func missingTopicAlone(k *kit) {
	a, gone := k.topic("a"), k.topic("gone")
	p, q := k.producer(a.Name, "p"), k.producer(gone.Name, "q")
	k.ok(k.DeleteTopic(k.Context(), gone.Name, start()))
	k.answers(k.append(sendSeq(q, 0, "x"), sendSeq(p, 0, "0"), send(q, "x"), sendSeq(p, 1, "1")),
		"topic_not_found", "0@0*1", "topic_not_found", "1@1*1")
	k.holds(a.Name, "0", "1")
	k.answers(k.append(send(q, "x")), "topic_not_found")
}

func refusedStoresNothing(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	before := k.head(head.Name)
	k.answers(k.append(sendSeq(p, 1, "1"), expecting(4, sendSeq(p, 0, "0")), as("other", send(p, "x"))),
		"seq_gap expected_seq=0", "append_conflict next_offset=0", "invalid_request field=prod_name")
	equal(k, "head", k.head(head.Name), before)
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "producer", row, p)
}

func groupOverSeveralTopics(k *kit) {
	var requests, again []service.AppendRequest
	for _, suffix := range []string{"d", "a", "c", "b"} {
		head := k.topic(suffix)
		p, q := k.producer(head.Name, "p"), k.producer(head.Name, "")
		requests = append(requests, sendSeq(p, 0, suffix+"0"), as("q", send(q, suffix+"q")))
		again = append(again, sendSeq(p, 0, suffix+"0"), sendSeq(p, 1, suffix+"1"))
	}
	k.answers(k.append(requests...),
		"0@0*1", "-@1*1", "0@0*1", "-@1*1", "0@0*1", "-@1*1", "0@0*1", "-@1*1")
	k.answers(k.append(again...),
		"0@0*1 dup", "1@2*1", "0@0*1 dup", "1@2*1", "0@0*1 dup", "1@2*1", "0@0*1 dup", "1@2*1")
	for _, suffix := range []string{"a", "b", "c", "d"} {
		k.holds(k.name(suffix), suffix+"0", suffix+"q", suffix+"1")
		n, err := k.CountProduced(k.Context(), "q", k.name(suffix))
		k.ok(err)
		equal(k, "count of q", n, 1)
	}
}

func anonymousUnderAnyName(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	name := k.prefix + "n"
	k.answers(k.append(as(name, send(p, "0", "1")), send(p, "2"), as(name, send(p, "3"))), "-@0*2", "-@2*1", "-@3*1")
	k.answers(k.append(as(name, send(p, "4"))), "-@4*1")
	equal(k, "name of a message", k.log(head.Name)[1].ProdName, name)
	equal(k, "no name of a message", k.log(head.Name)[2].ProdName, "")
	count, err := k.CountProduced(k.Context(), name, "")
	k.ok(err)
	equal(k, "count", count, 4)
	_, err = k.Producer(k.Context(), head.Name, name)
	k.refused(err, "producer_not_found")
	rows, err := k.ListProducers(k.Context(), head.ID, 0, 10)
	k.ok(err)
	equal(k, "registered producers", rows, []service.Producer{p})
	opened := k.producer(head.Name, name)
	equal(k, "first session of the name", opened, service.Producer{
		ID: opened.ID, Topic: head.ID, Name: name, Epoch: 1, LastOffset: -1, Count: 4,
	})
}

func seqNeedsRegisteredName(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	epoch := int64(0)
	withEpoch := send(p, "x")
	withEpoch.Epoch = &epoch
	k.answers(k.append(sendSeq(p, 0, "x"), as("n", sendSeq(p, 0, "x")), withEpoch, as("n", withEpoch)),
		"invalid_request field=prod_name", "producer_not_found", "invalid_request field=prod_name", "producer_not_found")
	k.answers(k.append(as("n", send(p, "0"))), "-@0*1")
	k.answers(k.append(as("n", sendSeq(p, 0, "x"))), "producer_not_found")
	k.holds(head.Name, "0")
}

func seqUnderName(k *kit) {
	head := k.topic("a")
	anonymous, named := k.producer(head.Name, ""), k.producer(head.Name, "n")
	k.answers(k.append(as("n", sendSeq(anonymous, 0, "0")), sendSeq(named, 1, "1")), "0@0*1", "1@1*1")
	k.answers(k.append(as("n", sendSeq(named, 0, "0")), as("n", sendSeq(anonymous, 1, "1"))),
		"0@0*1 dup", "1@1*1 dup")
	row, err := k.Producer(k.Context(), head.Name, "n")
	k.ok(err)
	named.NextSeq, named.LastOffset, named.Count = 2, 1, 2
	equal(k, "producer", row, named)
}

func withoutSeqNextSeqStays(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(send(p, "x"), sendSeq(p, 0, "0"), send(p, "y")), "-@0*1", "0@1*1", "-@2*1")
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	p.NextSeq, p.LastOffset, p.Count = 1, 1, 3
	equal(k, "producer", row, p)
}

func epochIsChecked(k *kit) {
	head := k.topic("a")
	first := k.producer(head.Name, "p")
	second := k.producer(head.Name, "p")
	third := second
	third.Epoch++
	k.answers(k.append(
		inSession(first, sendSeq(first, 0, "x")), inSession(third, sendSeq(third, 0, "x")),
		inSession(second, sendSeq(second, 0, "0")), sendSeq(first, 1, "1"), inSession(first, send(first, "x"))),
		"producer_fenced epoch=2", "unknown_epoch epoch=2", "0@0*1", "1@1*1", "producer_fenced epoch=2")
	// A fenced session does not even learn of what it stored itself.
	k.answers(k.append(inSession(first, sendSeq(first, 0, "0"))), "producer_fenced epoch=2")
	k.ok(k.UnregisterProducer(k.Context(), head.Name, second.ID))
	k.answers(k.append(inSession(second, sendSeq(second, 2, "x")), sendSeq(second, 2, "2")),
		"producer_fenced epoch=3", "2@2*1")
	k.holds(head.Name, "0", "1", "2")
}

func expectedOffset(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(
		expecting(1, send(p, "x")), expecting(0, sendSeq(p, 0, "0", "1")), expecting(0, send(p, "x")),
		expecting(2, sendSeq(p, 1, "1", "2")), expecting(7, sendSeq(p, 0, "0"))),
		"append_conflict next_offset=0", "0@0*2", "append_conflict next_offset=2", "1@1*2", "0@0*1 dup")
	k.holds(head.Name, "0", "1", "2")
}

func createdAtNeverDecreases(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	for i, at := range []time.Duration{time.Hour, 0, time.Hour + 1500, -time.Hour, 2 * time.Hour} {
		k.answers(k.appendAt(after(at), sendSeq(p, int64(i), "x")), describe(&service.AppendResult{
			Ranges: []service.Range{{Seq: int64(i), Offset: service.Offset(i), Count: 1}}, Count: 1,
		}))
	}
	var got []time.Time
	for _, m := range k.log(head.Name) {
		got = append(got, m.CreatedAt)
	}
	hour, more := kept(after(time.Hour)), kept(after(time.Hour+1500))
	equal(k, "times", got, []time.Time{hour, hour, more, more, kept(after(2 * time.Hour))})
	equal(k, "LastAppend", k.head(head.Name).LastAppend, kept(after(2*time.Hour)))
}
