package dbtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/topiq/topiq/service"
)

func producerTests() []test {
	return []test{
		{"RegisterCreatesTheTopicWhenItIsMissing", registerCreatesTopic},
		{"AnonymousGetsANewRowEachTime", anonymousGetsNewRow},
		{"NameKeepsItsID", nameKeepsItsID},
		{"NameBelongsToOneTopic", nameBelongsToOneTopic},
		{"UnregisteredAnonymousIsGone", unregisterAnonymous},
		{"UnregisterRefusesWhatIsNotThere", unregisterRefuses},
		{"ProducerReadsTheRegistered", producerReadsRegistered},
		{"ListPagesByID", listProducers},
		{"CountSumsTopicsThatExist", countProduced},
		{"IDsAreNeverReused", idsAreNeverReused},
	}
}

// register opens a session on a topic that exists.
func (k *kit) register(topic service.TopicName, name, instance string) (service.Producer, error) {
	row, _, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: topic, Incarnation: "unused", At: after(time.Hour)}, Name: name, Instance: instance,
	})
	return row, err
}

func registerCreatesTopic(k *kit) {
	wanted := k.newTopic("a")
	row, head, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{Topic: wanted, Name: "p"})
	k.ok(err)
	equal(k, "new head", head, service.Head{
		ID: head.ID, Name: wanted.Name, Incarnation: wanted.Incarnation, CreatedAt: kept(start()),
	})
	equal(k, "head", k.head(wanted.Name), head)
	equal(k, "producer", row, service.Producer{ID: row.ID, Topic: head.ID, Name: "p", Epoch: 1, LastOffset: -1})
	checkID(k, row.ID, wanted.Name)
	k.answers(k.append(sendSeq(row, 0, "0")), "0@0*1")
	other := wanted
	other.Incarnation, other.At = "other", after(time.Hour)
	row, head, err = k.RegisterProducer(k.Context(), service.ProducerRegistration{Topic: other, Name: "p"})
	k.ok(err)
	equal(k, "head of a topic that existed", head, k.head(wanted.Name))
	equal(k, "incarnation", head.Incarnation, wanted.Incarnation)
	equal(k, "next seq", row.NextSeq, 1)
}

func anonymousGetsNewRow(k *kit) {
	head := k.topic("a")
	p, q := k.producer(head.Name, ""), k.producer(head.Name, "")
	if p.ID == q.ID {
		k.Errorf("two anonymous producers have the id %d", p.ID)
	}
	for _, row := range []service.Producer{p, q} {
		checkID(k, row.ID, head.Name)
		equal(k, "producer", row, service.Producer{ID: row.ID, Topic: head.ID, LastOffset: -1})
		k.answers(k.append(send(row, "x")), fmt.Sprintf("-@%d*1", k.head(head.Name).Next-1))
	}
}

func nameKeepsItsID(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1"), send(p, "x")), "0@0*2", "-@2*1")
	want := p
	want.Epoch, want.NextSeq, want.LastOffset, want.Count = 2, 2, 1, 3
	equal(k, "second session", k.producer(head.Name, "p"), want)
	k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
	want.Epoch = 4
	equal(k, "session after an unregister", k.producer(head.Name, "p"), want)
}

func nameBelongsToOneTopic(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	p, q, upper := k.producer(a.Name, "p"), k.producer(b.Name, "p"), k.producer(a.Name, "P")
	if p.ID == q.ID || p.ID == upper.ID {
		k.Errorf("got ids %d, %d, %d for three producers", p.ID, q.ID, upper.ID)
	}
	equal(k, "epochs", []int64{p.Epoch, q.Epoch, upper.Epoch}, []int64{1, 1, 1})
}

func unregisterAnonymous(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	k.answers(k.append(as("n", send(p, "x"))), "-@0*1")
	k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
	k.answers(k.append(send(p, "x")), "producer_not_found")
	k.refused(k.UnregisterProducer(k.Context(), head.Name, p.ID), "producer_not_found")
	rows, err := k.ListProducers(k.Context(), head.ID, 0, 10)
	k.ok(err)
	equal(k, "producers", rows, nil)
	n, err := k.CountProduced(k.Context(), "n", head.Name)
	k.ok(err)
	equal(k, "count of the name", n, 1)
}

func unregisterRefuses(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	p := k.producer(a.Name, "p")
	k.refused(k.UnregisterProducer(k.Context(), k.name("none"), p.ID), "topic_not_found")
	k.refused(k.UnregisterProducer(k.Context(), b.Name, p.ID), "producer_not_found")
	k.refused(k.UnregisterProducer(k.Context(), a.Name, p.ID+service.Buckets<<20), "producer_not_found")
	k.refused(k.UnregisterProducer(k.Context(), a.Name, 0), "producer_not_found")
	row, err := k.Producer(k.Context(), a.Name, "p")
	k.ok(err)
	equal(k, "producer", row, p)
}

func producerReadsRegistered(k *kit) {
	head := k.topic("a")
	_, err := k.Producer(k.Context(), k.name("none"), "p")
	k.refused(err, "topic_not_found")
	_, err = k.Producer(k.Context(), head.Name, "p")
	k.refused(err, "producer_not_found")
	k.producer(head.Name, "")
	_, err = k.Producer(k.Context(), head.Name, "")
	k.refused(err, "producer_not_found")
	p, err := k.register(head.Name, "p", "token")
	k.ok(err)
	k.answers(k.append(sendSeq(p, 0, "0", "1"), send(p, "x")), "0@0*2", "-@2*1")
	p.NextSeq, p.LastOffset, p.Count = 2, 1, 3
	for range 2 {
		row, err := k.Producer(k.Context(), head.Name, "p")
		k.ok(err)
		equal(k, "producer", row, p)
	}
}

func listProducers(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	var want []service.Producer
	for i := range 6 {
		name := ""
		if i%2 == 0 {
			name = fmt.Sprintf("p%d", i)
		}
		want = append(want, k.producer(head.Name, name))
	}
	k.producer(other.Name, "p0")
	k.answers(k.append(as("counted-only", send(want[1], "x")), sendSeq(want[0], 0, "0")), "-@0*1", "0@1*1")
	want[0].NextSeq, want[0].LastOffset, want[0].Count = 1, 1, 1
	want = sorted(want, func(p service.Producer) service.ProducerID { return p.ID })
	for _, limit := range []int{1, 4, 6, 100} {
		var got []service.Producer
		var last service.ProducerID
		for {
			rows, err := k.ListProducers(k.Context(), head.ID, last, limit)
			k.ok(err)
			if len(rows) > limit || len(got) > len(want) {
				k.Fatalf("got %d rows after %d with limit %d", len(rows), len(got), limit)
			}
			if len(rows) == 0 {
				break
			}
			got = append(got, rows...)
			last = rows[len(rows)-1].ID
		}
		equal(k, fmt.Sprintf("pages of %d", limit), got, want)
	}
}

func countProduced(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	name := k.prefix + "n"
	count := func(topic service.TopicName) int64 {
		k.Helper()
		n, err := k.CountProduced(k.Context(), name, topic)
		k.ok(err)
		return n
	}
	equal(k, "count of an unknown name", count("")+count(a.Name), 0)
	_, err := k.CountProduced(k.Context(), name, k.name("none"))
	k.refused(err, "topic_not_found")
	p, q := k.producer(a.Name, name), k.producer(b.Name, "")
	equal(k, "count of a name that stored nothing", count("")+count(a.Name), 0)
	k.answers(k.append(sendSeq(p, 0, "0", "1"), send(p, "x"), as(name, send(q, "y")), send(q, "z")),
		"0@0*2", "-@2*1", "-@0*1", "-@1*1")
	k.answers(k.append(sendSeq(p, 1, "1", "2")), "1@1*1 2@3*1")
	equal(k, "counts", []int64{count(a.Name), count(b.Name), count("")}, []int64{4, 1, 5})
	_, err = k.Trim(k.Context(), a.ID, 3)
	k.ok(err)
	equal(k, "count with trimmed messages", count(""), 5)
	k.ok(k.DeleteTopic(k.Context(), a.Name, start()))
	equal(k, "count without the deleted topic", count(""), 1)
}

func idsAreNeverReused(k *kit) {
	var topics, producers, consumers []int64
	for range 3 {
		head := k.topic("a")
		for range 2 {
			p := k.producer(head.Name, "")
			k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
			c := k.consumer(head.Name, "c", service.FromBeginning)
			k.ok(k.UnregisterConsumer(k.Context(), head.Name, c.ID))
			producers, consumers = append(producers, int64(p.ID)), append(consumers, int64(c.ID))
		}
		topics = append(topics, int64(head.ID))
		k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
		k.sweep(1000)
	}
	for what, ids := range map[string][]int64{"topic": topics, "producer": producers, "consumer": consumers} {
		slices.Sort(ids)
		equal(k, what+" ids that differ", slices.Compact(slices.Clone(ids)), ids)
	}
}
