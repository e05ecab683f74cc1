package dbtest

import (
	"fmt"

	"github.com/topiq/topiq/service"
)

func deleteTests() []test {
	return []test{
		{"MissingTopicIsRefused", deleteMissing},
		{"NothingOfADeletedTopicCanBeReached", deletedIsUnreachable},
		{"RecreatedTopicStartsAnew", recreatedStartsAnew},
		{"SweepRemovesAllAndEnds", sweepEnds},
		{"SweepLeavesLiveTopicsAlone", sweepLeavesTheLiving},
	}
}

// sweep sweeps until nothing is left and returns how many rows went.
func (k *kit) sweep(limit int) int {
	k.Helper()
	sum := 0
	for range 1000 {
		n, err := k.Sweep(k.Context(), limit)
		k.ok(err)
		if n == 0 {
			return sum
		}
		if n < 0 || n > 4*limit+16 {
			k.Fatalf("Sweep(%d) removed %d rows", limit, n)
		}
		sum += n
	}
	k.Fatalf("Sweep does not end: %d rows in 1000 calls", sum)
	return 0
}

func deleteMissing(k *kit) {
	k.refused(k.DeleteTopic(k.Context(), k.name("none"), start()), "topic_not_found")
	head := k.topic("a")
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	k.refused(k.DeleteTopic(k.Context(), head.Name, start()), "topic_not_found")
}

// settled is a topic with everything that a topic can have.
type settled struct {
	head               service.Head
	anonymous, named   service.Producer
	consumer, nameless service.Consumer
	name               string
}

func (k *kit) settle(suffix string) settled {
	k.Helper()
	s := settled{head: k.topic(suffix), name: k.prefix + "n"}
	s.anonymous, s.named = k.producer(s.head.Name, ""), k.producer(s.head.Name, s.name)
	k.answers(k.append(sendSeq(s.named, 0, "0", "1"), as("m", send(s.anonymous, "2"))), "0@0*2", "-@2*1")
	s.consumer = k.consumer(s.head.Name, "c", service.FromEnd)
	s.nameless = k.consumer(s.head.Name, "", 1)
	return s
}

// gone requires that nothing of a topic can be reached by its ids, before or after a Sweep.
func (k *kit) gone(s settled) {
	k.Helper()
	ctx, id := k.Context(), s.head.ID
	k.answers(k.append(send(s.anonymous, "x"), sendSeq(s.named, 2, "x")), "topic_not_found", "topic_not_found")
	messages, err := k.Read(ctx, id, 0, 10, 1<<20)
	k.ok(err)
	equal(k, "messages", messages, nil)
	_, err = k.FindTime(ctx, id, start())
	k.refused(err, "topic_not_found")
	_, err = k.Trim(ctx, id, 1)
	k.refused(err, "topic_not_found")
	producers, consumers, err := k.CountClients(ctx, id)
	k.ok(err)
	equal(k, "clients counted", producers+consumers, 0)
	rows, err := k.ListProducers(ctx, id, 0, 10)
	k.ok(err)
	equal(k, "producers listed", rows, nil)
	listed, err := k.ListConsumers(ctx, id, 0, 10)
	k.ok(err)
	equal(k, "consumers listed", listed, nil)
	found, err := k.Consumers(ctx, []service.ConsumerID{s.consumer.ID, s.nameless.ID})
	k.ok(err)
	equal(k, "consumers read", found, nil)
	_, err = k.FindConsumer(ctx, id, "c")
	k.refused(err, "consumer_not_found")
	for _, topic := range []service.TopicID{0, id} {
		_, err = k.Seek(ctx, service.SeekRequest{Consumer: s.consumer.ID, Topic: topic}, start())
		k.refused(err, "consumer_not_found")
	}
	k.moves(k.move(take(s.consumer, 1)), "topic_not_found")
	k.ok(k.CommitOffsets(ctx, []service.OffsetCommit{{Consumer: s.nameless.ID, Offset: 3}}, start()))
}

func deletedIsUnreachable(k *kit) {
	s := k.settle("a")
	k.ok(k.DeleteTopic(k.Context(), s.head.Name, start()))
	equal(k, "names listed", k.list("", "", 10), nil)
	heads, err := k.Heads(k.Context(), []service.TopicName{s.head.Name})
	k.ok(err)
	equal(k, "heads", heads, nil)
	_, err = k.Producer(k.Context(), s.head.Name, s.name)
	k.refused(err, "topic_not_found")
	_, err = k.CountProduced(k.Context(), s.name, s.head.Name)
	k.refused(err, "topic_not_found")
	count, err := k.CountProduced(k.Context(), s.name, "")
	k.ok(err)
	equal(k, "count", count, 0)
	k.refused(k.UnregisterProducer(k.Context(), s.head.Name, s.named.ID), "topic_not_found")
	k.refused(k.UnregisterConsumer(k.Context(), s.head.Name, s.consumer.ID), "topic_not_found")
	_, _, err = k.RegisterConsumer(k.Context(), service.ConsumerRegistration{Topic: s.head.Name, Name: "c"})
	k.refused(err, "topic_not_found")
	k.gone(s)
	k.sweep(2)
	k.gone(s)
}

func recreatedStartsAnew(k *kit) {
	old := k.settle("a")
	k.ok(k.DeleteTopic(k.Context(), old.head.Name, start()))
	again := k.newTopic("a")
	again.Incarnation = "second"
	head, err := k.CreateTopic(k.Context(), again)
	k.ok(err)
	if head.ID == old.head.ID {
		k.Errorf("the id %d is used again", head.ID)
	}
	equal(k, "head", head, service.Head{ID: head.ID, Name: head.Name, Incarnation: "second", CreatedAt: kept(start())})
	equal(k, "head read", k.head(head.Name), head)
	k.gone(old)
	// Ids of the old life do not belong to the new one.
	for _, p := range []service.Producer{old.named, old.anonymous} {
		p.Topic = head.ID
		k.answers(k.append(send(p, "x")), "producer_not_found")
		k.refused(k.UnregisterProducer(k.Context(), head.Name, p.ID), "producer_not_found")
	}
	stale := old.consumer
	stale.Topic = head.ID
	k.moves(k.move(take(stale, 1)), "consumer_not_found")
	k.refused(k.UnregisterConsumer(k.Context(), head.Name, old.consumer.ID), "consumer_not_found")
	_, err = k.Producer(k.Context(), head.Name, old.name)
	k.refused(err, "producer_not_found")
	p := k.producer(head.Name, old.name)
	equal(k, "producer", p, service.Producer{ID: p.ID, Topic: head.ID, Name: old.name, Epoch: 1, LastOffset: -1})
	k.answers(k.append(sendSeq(p, 0, "new")), "0@0*1")
	equal(k, "position", k.consumer(head.Name, "c", service.FromBeginning).Offset, 0)
	k.sweep(100)
	k.holds(head.Name, "new")
	k.gone(old)
}

func sweepEnds(k *kit) {
	k = k.alone()
	equal(k, "rows of an empty store", k.sweep(10), 0)
	kept := k.settle("kept")
	for _, suffix := range []string{"a", "b", "c"} {
		s := k.settle(suffix)
		k.fill(k.head(s.head.Name), 30)
		for i := range 5 {
			k.producer(s.head.Name, fmt.Sprintf("p%d", i))
			k.consumer(s.head.Name, "", service.FromBeginning)
		}
		k.ok(k.DeleteTopic(k.Context(), s.head.Name, start()))
	}
	// An engine may free everything at once; one that leaves rows behind must come to their end.
	if n := k.sweep(7); n != 0 && n < 99 {
		k.Errorf("%d rows were swept, but 99 messages of deleted topics were left", n)
	}
	equal(k, "rows left after a sweep", k.sweep(7), 0)
	k.holds(kept.head.Name, "0", "1", "2")
}

func sweepLeavesTheLiving(k *kit) {
	living, dead := k.settle("living"), k.settle("dead")
	k.ok(k.DeleteTopic(k.Context(), dead.head.Name, start()))
	k.sweep(1)
	k.holds(living.head.Name, "0", "1", "2")
	k.answers(k.append(sendSeq(living.named, 0, "0", "1", "2"), send(living.anonymous, "x")), "0@0*2 2@3*1", "-@4*1")
	equal(k, "consumer", k.consumerNow(living.consumer.ID), living.consumer)
	k.moves(k.move(take(living.nameless, 10)), "1:1,2,2,x")
}
