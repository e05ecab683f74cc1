package dbtest

import (
	"fmt"
	"strings"

	"github.com/topiq/topiq/service"
)

func incarnationTests() []test {
	return []test{
		{"NewIncarnationChangesNothingElse", incarnationAlone},
		{"OldIncarnationIsRefusedEverywhere", oldIncarnation},
		{"MissingTopicIsRefused", incarnationMissing},
		{"AppendIsWhollyBeforeOrAfterANewIncarnation", incarnationFences},
	}
}

// renew gives a topic another incarnation.
func (k *kit) renew(name service.TopicName, incarnation string) service.Head {
	k.Helper()
	head, err := k.NewIncarnation(k.Context(), name, incarnation)
	k.ok(err)
	return head
}

func incarnationAlone(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	k.answers(k.append(sendSeq(k.producer(head.Name, "p"), 0, "0", "11", "222"), as("n", send(k.producer(head.Name, ""), "x"))),
		"0@0*3", "-@3*1")
	_, err := k.Trim(k.Context(), head.ID, 1)
	k.ok(err)
	c := k.consumer(head.Name, "c", 2)
	p, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	want, log := k.head(head.Name), k.log(head.Name)
	for _, incarnation := range []string{"new", "new", "newer"} {
		want.Incarnation = incarnation
		equal(k, "head answered", k.renew(head.Name, incarnation), want)
		equal(k, "head", k.head(head.Name), want)
	}
	equal(k, "messages", k.log(head.Name), log)
	equal(k, "consumer", k.consumerNow(c.ID), c)
	now, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "producer", now, p)
	count, err := k.CountProduced(k.Context(), "n", head.Name)
	k.ok(err)
	equal(k, "count", count, 1)
	equal(k, "another topic", k.head(other.Name), other)
	k.answers(k.append(inSession(p, sendSeq(p, 1, "11", "222", "3333"))), "1@1*2 3@4*1")
	equal(k, "incarnation after an append", k.head(head.Name).Incarnation, "newer")
}

func oldIncarnation(k *kit) {
	head := k.topic("a")
	p, c := k.producer(head.Name, "p"), k.consumer(head.Name, "c", 0)
	k.answers(k.append(within(head.Incarnation, sendSeq(p, 0, "0"))), "0@0*1")
	k.renew(head.Name, "new")
	k.answers(k.append(
		within(head.Incarnation, sendSeq(p, 0, "0")), // a repetition too: the message may be another's by now
		within(head.Incarnation, sendSeq(p, 1, "1")),
		within("new", sendSeq(p, 0, "0")),
		within("new", sendSeq(p, 1, "1")),
		send(p, "without"),
	), "incarnation_changed incarnation=new", "incarnation_changed incarnation=new", "0@0*1 dup", "1@1*1", "-@2*1")
	k.holds(head.Name, "0", "1", "without")
	old, current := take(c, 1), take(c, 1)
	old.Incarnation, current.Incarnation = head.Incarnation, "new"
	k.moves(k.move(old, current), "incarnation_changed incarnation=new", "0:0")
}

func incarnationMissing(k *kit) {
	_, err := k.NewIncarnation(k.Context(), k.name("none"), "new")
	k.refused(err, "topic_not_found")
	head := k.topic("a")
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	_, err = k.NewIncarnation(k.Context(), head.Name, "new")
	k.refused(err, "topic_not_found")
	again := k.topic("a")
	again.Incarnation = "new"
	equal(k, "head of the topic that has the name now", k.renew(head.Name, "new"), again)
}

// incarnationFences lets writers that name an incarnation meet its end: the head that the change
// answers is the last that they have made.
func incarnationFences(k *kit) {
	const writers = 3
	rounds(1, 20, func(round int) {
		head := k.topic(fmt.Sprintf("r%d", round))
		var producers [writers]service.Producer
		started := make(chan struct{}, writers)
		for i := range producers {
			producers[i] = k.producer(head.Name, "")
		}
		var changed service.Head
		together(writers+1, func(i int) {
			if i == writers {
				for range writers {
					<-started
				}
				var err error
				if changed, err = k.NewIncarnation(k.Context(), head.Name, "new"); err != nil {
					k.Error(err)
				}
				return
			}
			for n := 0; ; n++ {
				answer := k.answer(within(head.Incarnation, send(producers[i], "x", "y")))
				if n == 0 {
					started <- struct{}{}
				}
				if !strings.HasPrefix(answer, "-@") {
					if answer != "incarnation_changed incarnation=new" {
						k.Errorf("a writer got %s", answer)
					}
					return
				}
			}
		})
		equal(k, "head when all writers have ended", k.head(head.Name), changed)
		equal(k, "messages", len(k.log(head.Name)), int(changed.Next))
	})
}
