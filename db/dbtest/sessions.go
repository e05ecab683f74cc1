package dbtest

import (
	"fmt"

	"github.com/topiq/topiq/service"
)

// sessionTests are those of P2. Most of the rule is OpenSession; here it is asked whether an
// engine keeps what OpenSession says.
func sessionTests() []test {
	return []test{
		{"RepeatedInstanceGetsTheSameEpoch", repeatedInstance},
		{"WithoutInstanceEachRegisterIsASession", noInstance},
		{"EarlierInstanceIsFenced", earlierInstance},
		{"EightEarlierInstancesAreRemembered", eightInstances},
		{"UnregisterFencesTheInstance", unregisterFences},
		{"NameOfMessagesOnlyOpensItsFirstSession", firstSessionOfAName},
	}
}

func repeatedInstance(k *kit) {
	head := k.topic("a")
	p, err := k.register(head.Name, "p", "one")
	k.ok(err)
	equal(k, "producer", p, service.Producer{
		ID: p.ID, Topic: head.ID, Name: "p", Epoch: 1, LastOffset: -1, Instance: "one",
	})
	again, err := k.register(head.Name, "p", "one")
	k.ok(err)
	equal(k, "answer to a retry", again, p)
	k.answers(k.append(inSession(p, sendSeq(p, 0, "0"))), "0@0*1")
	again, err = k.register(head.Name, "p", "one")
	k.ok(err)
	p.NextSeq, p.LastOffset, p.Count = 1, 0, 1
	equal(k, "answer to a late retry", again, p)
}

func noInstance(k *kit) {
	head := k.topic("a")
	for epoch := range int64(12) {
		p, err := k.register(head.Name, "p", "")
		k.ok(err)
		equal(k, "producer", p, service.Producer{ID: p.ID, Topic: head.ID, Name: "p", Epoch: epoch + 1, LastOffset: -1})
	}
}

func earlierInstance(k *kit) {
	head := k.topic("a")
	_, err := k.register(head.Name, "p", "one")
	k.ok(err)
	p, err := k.register(head.Name, "p", "two")
	k.ok(err)
	equal(k, "epoch", p.Epoch, 2)
	equal(k, "fenced instances", p.Fenced, []string{"one"})
	_, err = k.register(head.Name, "p", "one")
	k.refused(err, "producer_fenced epoch=2")
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "producer", row, p)
	other, err := k.register(head.Name, "q", "one")
	k.ok(err)
	equal(k, "epoch of another name", other.Epoch, 1)
}

func eightInstances(k *kit) {
	head := k.topic("a")
	const last = 10
	for i := range int64(last + 1) {
		_, err := k.register(head.Name, "p", fmt.Sprintf("token %d'\"\\{},", i))
		k.ok(err)
	}
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	var want []string
	for i := last - 8; i < last; i++ {
		want = append(want, fmt.Sprintf("token %d'\"\\{},", i))
	}
	equal(k, "fenced instances, oldest first", row.Fenced, want)
	for _, instance := range want {
		_, err := k.register(head.Name, "p", instance)
		k.refused(err, "producer_fenced epoch=11")
	}
	p, err := k.register(head.Name, "p", "token 1'\"\\{},")
	k.ok(err)
	equal(k, "epoch of a forgotten instance", p.Epoch, 12)
}

func unregisterFences(k *kit) {
	head := k.topic("a")
	p, err := k.register(head.Name, "p", "one")
	k.ok(err)
	k.answers(k.append(inSession(p, sendSeq(p, 0, "0"))), "0@0*1")
	k.ok(k.UnregisterProducer(k.Context(), head.Name, p.ID))
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "producer", row, service.Producer{
		ID: p.ID, Topic: head.ID, Name: "p", Epoch: 2, NextSeq: 1, LastOffset: 0, Count: 1, Fenced: []string{"one"},
	})
	_, err = k.register(head.Name, "p", "one")
	k.refused(err, "producer_fenced epoch=2")
	later, err := k.register(head.Name, "p", "two")
	k.ok(err)
	equal(k, "later session", later, service.Producer{
		ID: p.ID, Topic: head.ID, Name: "p", Epoch: 3, NextSeq: 1, LastOffset: 0, Count: 1,
		Instance: "two", Fenced: []string{"one"},
	})
}

func firstSessionOfAName(k *kit) {
	head := k.topic("a")
	anonymous := k.producer(head.Name, "")
	k.answers(k.append(as("n", send(anonymous, "0", "1"))), "-@0*2")
	p, err := k.register(head.Name, "n", "one")
	k.ok(err)
	equal(k, "producer", p, service.Producer{
		ID: p.ID, Topic: head.ID, Name: "n", Epoch: 1, LastOffset: -1, Count: 2, Instance: "one",
	})
	if p.ID == anonymous.ID {
		k.Errorf("the name has the id of the anonymous producer, %d", p.ID)
	}
	k.answers(k.append(inSession(p, sendSeq(p, 0, "2")), as("n", send(anonymous, "3"))), "0@2*1", "-@3*1")
}
