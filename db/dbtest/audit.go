package dbtest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/service"
)

func auditTests() []test {
	return []test{
		{"AuditFindsNothing", auditFindsNothing},
		{"AuditFindsNothingWhileOthersWrite", auditWhileOthersWrite},
	}
}

// audit requires that all of a store agrees. It may be called from any goroutine.
func (k *kit) audit() service.Summary {
	k.Helper()
	sum, err := service.Audit(k.Context(), k.Store, func(f service.Finding) {
		k.Errorf("topic %s: %s: expected %s, found %s", f.Topic, f.What, f.Expected, f.Found)
	})
	if err != nil {
		k.Error(err)
	}
	return sum
}

func auditFindsNothing(k *kit) {
	k = k.alone()
	equal(k, "audit of an empty store", k.audit(), service.Summary{})
	a, b, gone := k.topic("a"), k.topic("b"), k.topic("gone")
	p, anonymous := k.producer(a.Name, "p"), k.producer(a.Name, "")
	large := sendSeq(p, 0, "0", "1", "2")
	large.Payloads[1].Headers = service.Headers{"name": "value"}
	k.answers(k.append(large, as("n", send(anonymous, "x", "")), send(anonymous, "y")), "0@0*3", "-@3*2", "-@5*1")
	k.answers(k.appendAt(after(-time.Hour), sendSeq(p, 2, "2", "3"), send(p, "z")), "2@2*1 3@6*1", "-@7*1")
	k.consumer(a.Name, "c", service.FromBeginning)
	k.consumer(a.Name, "", service.FromEnd)
	k.fill(b, 2500)
	k.fill(gone, 3)
	k.ok(k.DeleteTopic(k.Context(), gone.Name, start()))
	want := service.Summary{Topics: 2, Messages: 2508, Producers: 3, Consumers: 2}
	equal(k, "audit", k.audit(), want)
	for _, before := range []service.Offset{2, 7, 8} {
		_, err := k.Trim(k.Context(), a.ID, before)
		k.ok(err)
		want.Messages = 2508 - int64(before)
		equal(k, "audit after a trim", k.audit(), want)
		k.sweep(10_000)
		equal(k, "audit after a sweep", k.audit(), want)
	}
	k.producer(a.Name, "p")
	k.renew(a.Name, "new")
	equal(k, "audit after a session and a new incarnation", k.audit(), want)
}

// auditWhileOthersWrite audits a store on which everything else goes on: what is half seen must not
// be taken for damage.
func auditWhileOthersWrite(k *kit) {
	k = k.alone()
	const topics = 2
	var heads [topics]service.Head
	for i := range heads {
		heads[i] = k.topic(fmt.Sprintf("t%d", i))
	}
	// On a fast engine the writers would otherwise add more than the audits can get through.
	const steps = 1000
	ready, over := make(chan struct{}, topics), atomic.Bool{}
	together(topics+1, func(i int) {
		if i == topics {
			defer over.Store(true)
			for range topics {
				<-ready
			}
			for range 10 {
				k.audit()
			}
			return
		}
		head := heads[i]
		for n := int64(0); n < steps && !over.Load(); n++ {
			k.work(head, n)
			if n == 2 {
				ready <- struct{}{}
			}
		}
	})
	k.audit()
}

// work is one step of a writer that is alone on its topic: new names, old names, consumers at the
// end, and every now and then a trim of what is old.
func (k *kit) work(head service.Head, n int64) {
	name := fmt.Sprintf("p%d", n%3)
	p, _, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: head.Name, Incarnation: "unused", At: start()}, Name: name,
	})
	if err != nil {
		k.Error(err)
		return
	}
	for _, r := range []service.AppendRequest{
		sendSeq(p, p.NextSeq, "a", "b"), send(p, "c"), sendSeq(p, p.NextSeq, "a", "b", "d"),
	} {
		if answer := k.answer(r); answer == "" {
			k.Error("no answer")
		}
	}
	if _, _, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{
		Topic: head.Name, Name: fmt.Sprintf("c%d", n), From: service.FromEnd, At: start(),
	}); err != nil {
		k.Error(err)
	}
	if n%20 == 19 {
		if _, err := k.Trim(k.Context(), head.ID, service.Offset(2*n)); err != nil {
			k.Error(err)
		}
	}
}
