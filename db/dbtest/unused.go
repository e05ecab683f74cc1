package dbtest

import (
	"fmt"
	"time"

	"github.com/topiq/topiq/service"
)

func unusedTests() []test {
	return []test{
		{"AnonymousAreForgotten", anonymousForgotten},
		{"NamesAreNeverForgotten", namesStay},
		{"UseIsNoted", useIsNoted},
		{"ForgottenInBatches", forgottenInBatches},
	}
}

func (k *kit) forget(since time.Time) int {
	k.Helper()
	n, err := k.ForgetUnused(k.Context(), since, 1000)
	k.ok(err)
	return n
}

func anonymousForgotten(k *kit) {
	k = k.alone()
	head := k.topic("a")
	p, c := k.producer(head.Name, ""), k.consumer(head.Name, "", 0)
	k.answers(k.append(send(p, "kept")), "-@0*1")
	equal(k, "forgotten before their time", k.forget(kept(start())), 0)
	equal(k, "forgotten", k.forget(after(time.Second)), 2)
	equal(k, "forgotten again", k.forget(after(time.Second)), 0)
	k.answers(k.append(send(p, "late")), "producer_not_found")
	k.moves(k.move(take(c, 1)), "consumer_not_found")
	rows, err := k.Consumers(k.Context(), []service.ConsumerID{c.ID})
	k.ok(err)
	equal(k, "consumers", len(rows), 0)
	k.refused(k.UnregisterProducer(k.Context(), head.Name, p.ID), "producer_not_found")
	k.refused(k.UnregisterConsumer(k.Context(), head.Name, c.ID), "consumer_not_found")
	k.holds(head.Name, "kept")
	k.answers(k.append(send(k.producer(head.Name, ""), "new")), "-@1*1")
}

func namesStay(k *kit) {
	k = k.alone()
	head := k.topic("a")
	p, c := k.producer(head.Name, "p"), k.consumer(head.Name, "c", 0)
	anonymous := k.producer(head.Name, "")
	named := send(anonymous, "x")
	named.ProdName = "counted"
	k.answers(k.append(named), "-@0*1")
	equal(k, "forgotten", k.forget(after(1000*time.Hour)), 1)
	equal(k, "consumer", k.consumerNow(c.ID), c)
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "producer", row, p)
	n, err := k.CountProduced(k.Context(), "counted", head.Name)
	k.ok(err)
	equal(k, "count", n, 1)
}

func useIsNoted(k *kit) {
	k = k.alone()
	head := k.topic("a")
	used, unused := k.producer(head.Name, ""), k.producer(head.Name, "")
	reading, idle := k.consumer(head.Name, "", 0), k.consumer(head.Name, "", 0)
	named, gone := k.consumer(head.Name, "c", 0), k.consumer(head.Name, "", 0)
	p := k.producer(head.Name, "p")
	k.ok(k.UnregisterConsumer(k.Context(), head.Name, gone.ID))
	for _, at := range []time.Duration{time.Hour, time.Minute} { // the second one is late, and takes nothing back
		k.ok(k.Touch(k.Context(), []service.ProducerID{used.ID, p.ID, used.ID + service.Buckets<<30},
			[]service.ConsumerID{reading.ID, named.ID, gone.ID}, after(at)))
	}
	k.ok(k.Touch(k.Context(), nil, nil, after(0)))
	equal(k, "last seen", k.consumerNow(reading.ID).LastSeen, kept(after(time.Hour)))
	equal(k, "last seen of the one with a name", k.consumerNow(named.ID).LastSeen, kept(after(time.Hour)))
	equal(k, "last seen of the idle one", k.consumerNow(idle.ID).LastSeen, kept(start()))
	equal(k, "forgotten", k.forget(after(30*time.Minute)), 2)
	k.answers(k.append(send(unused, "x")), "producer_not_found")
	k.answers(k.append(send(used, "x")), "-@0*1")
	k.moves(k.move(take(idle, 1)), "consumer_not_found")
	k.moves(k.move(take(reading, 1)), "0:x")
	equal(k, "forgotten later", k.forget(after(2*time.Hour)), 2)
}

func forgottenInBatches(k *kit) {
	k = k.alone()
	head := k.topic("a")
	for range 7 {
		k.producer(head.Name, "")
		k.consumer(head.Name, "", 0)
	}
	left := 14
	for calls := 0; left > 0; calls++ {
		n, err := k.ForgetUnused(k.Context(), after(time.Hour), 3)
		k.ok(err)
		if n < 1 || n > 4 || calls > 14 {
			k.Fatalf("call %d of ForgetUnused has removed %d of %d", calls, n, left)
		}
		left -= n
	}
	producers, consumers, err := k.CountClients(k.Context(), head.ID)
	k.ok(err)
	equal(k, "clients left", fmt.Sprint(producers, consumers), "0 0")
}
