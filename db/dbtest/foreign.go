package dbtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/topiq/topiq/service"
)

func foreignTests() []test {
	return []test{
		{"NothingIsDoneToAForeignTopic", foreignRefused},
		{"ForeignTopicFailsItsGroup", foreignGroup},
		{"RenewedTopicIsAnotherHistory", renewed},
		{"RenewLeavesWhatIsNotForeign", renewOwn},
		{"BrokersRenewOnce", renewTogether},
		{"PositionsOfALostHistoryAreVoid", lostPositions},
		{"NewIncarnationRenewsToo", renewedByOperator},
		{"PositionBeyondTheEndIsRefused", beyondTheEnd},
	}
}

// estrange makes a topic look as it would in a database that was put back from a copy. Every engine
// has its way to do so in its tests.
func (k *kit) estrange(name service.TopicName) {
	k.Helper()
	store, ok := k.Store.(interface {
		Estrange(ctx context.Context, name service.TopicName) error
	})
	if !ok {
		k.Fatalf("%T has no method Estrange in its tests", k.Store)
	}
	k.ok(store.Estrange(k.Context(), name))
	equal(k, "Foreign", k.head(name).Foreign, true)
}

// foreignRefused calls everything that decides on a topic, also one that nothing was appended to: it
// may have been copied before its first message.
func foreignRefused(k *kit) {
	for _, messages := range []int{0, 3} {
		head := k.topic(fmt.Sprintf("a%d", messages))
		p, c := k.producer(head.Name, "p"), k.consumer(head.Name, "c", 0)
		for seq := range int64(messages) {
			k.append(sendSeq(p, seq, "x"))
		}
		producer, err := k.Producer(k.Context(), head.Name, "p")
		k.ok(err)
		k.estrange(head.Name)
		before := k.head(head.Name)
		ctx := k.Context()
		for method, call := range map[string]func() error{
			"Append": func() error {
				_, err := k.Append(ctx, []service.AppendRequest{sendSeq(p, int64(messages), "y")}, start())
				return err
			},
			"RegisterProducer": func() error {
				_, _, err := k.RegisterProducer(ctx, service.ProducerRegistration{Topic: k.newTopic(fmt.Sprintf("a%d", messages)), Name: "p"})
				return err
			},
			"UnregisterProducer": func() error { return k.UnregisterProducer(ctx, head.Name, p.ID) },
			"Producer": func() error {
				_, err := k.Producer(ctx, head.Name, "p")
				return err
			},
			"RegisterConsumer": func() error {
				_, _, err := k.RegisterConsumer(ctx, service.ConsumerRegistration{Topic: head.Name, Name: "c", At: start()})
				return err
			},
			"UnregisterConsumer": func() error { return k.UnregisterConsumer(ctx, head.Name, c.ID) },
			"Move": func() error {
				_, err := k.Move(ctx, []service.MoveRequest{take(c, 1)}, nil, start())
				return err
			},
			"Seek": func() error {
				_, err := k.Seek(ctx, service.SeekRequest{Consumer: c.ID}, start())
				return err
			},
			"CommitOffsets": func() error {
				return k.CommitOffsets(ctx, []service.OffsetCommit{{Consumer: c.ID, Offset: service.Offset(messages)}}, start())
			},
		} {
			if err := call(); !errors.Is(err, service.ErrUnavailable) {
				k.Errorf("%s on a foreign topic answers %v, want unavailable", method, err)
			}
		}
		equal(k, "head", k.head(head.Name), before)
		equal(k, "consumer", k.consumerNow(c.ID), c)
		_, err = k.Renew(ctx, head.Name, "new")
		k.ok(err)
		now, err := k.Producer(ctx, head.Name, "p")
		k.ok(err)
		equal(k, "producer", now, producer)
	}
}

func foreignGroup(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	p, q := k.producer(a.Name, "p"), k.producer(b.Name, "q")
	k.estrange(b.Name)
	group := []service.AppendRequest{sendSeq(p, 0, "of a"), sendSeq(q, 0, "of b")}
	_, err := k.Append(k.Context(), group, start())
	k.refused(err, "unavailable")
	equal(k, "a", k.head(a.Name), a)
	_, err = k.Renew(k.Context(), b.Name, "new")
	k.ok(err)
	k.answers(k.append(group...), "0@0*1", "0@0*1")
}

func renewed(k *kit) {
	head := k.topic("a")
	p, c := k.producer(head.Name, "p"), k.consumer(head.Name, "c", 0)
	k.answers(k.append(within(head.Incarnation, sendSeq(p, 0, "0", "1"))), "0@0*2")
	k.estrange(head.Name)
	want := k.head(head.Name)
	want.Incarnation, want.Foreign = "new", false
	got, err := k.Renew(k.Context(), head.Name, "new")
	k.ok(err)
	equal(k, "head answered", got, want)
	equal(k, "head", k.head(head.Name), want)
	k.holds(head.Name, "0", "1")
	k.answers(k.append(
		within(head.Incarnation, sendSeq(p, 2, "2")),
		within("new", sendSeq(p, 2, "2")),
	), "incarnation_changed incarnation=new", "2@2*1")
	equal(k, "Foreign", k.head(head.Name).Foreign, false)
	old := take(c, 1)
	old.Incarnation = head.Incarnation
	k.moves(k.move(old, take(c, 1)), "incarnation_changed incarnation=new", "0:0")
}

func renewOwn(k *kit) {
	_, err := k.Renew(k.Context(), k.name("none"), "new")
	k.refused(err, "topic_not_found")
	head := k.topic("a")
	got, err := k.Renew(k.Context(), head.Name, "new")
	k.ok(err)
	equal(k, "head answered", got, head)
	k.fill(head, 1)
	_, err = k.Renew(k.Context(), head.Name, "new")
	k.ok(err)
	equal(k, "incarnation", k.head(head.Name).Incarnation, head.Incarnation)
}

// renewTogether lets many find a topic foreign at the same time.
func renewTogether(k *kit) {
	const brokers = 8
	rounds(1, 10, func(round int) {
		head := k.topic(fmt.Sprintf("r%d", round))
		k.estrange(head.Name)
		var answers [brokers]service.Head
		together(brokers, func(i int) {
			var err error
			if answers[i], err = k.Renew(k.Context(), head.Name, fmt.Sprintf("of %d", i)); err != nil {
				k.Error(err)
			}
		})
		now := k.head(head.Name)
		if now.Incarnation == head.Incarnation || now.Foreign {
			k.Errorf("the topic was not renewed: %+v", now)
		}
		for _, answer := range answers {
			equal(k, "head answered", answer, now)
		}
	})
}

// lostPositions flushes what a broker had accepted before the history was lost.
func lostPositions(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 1)
	k.estrange(head.Name)
	_, err := k.Renew(k.Context(), head.Name, "new")
	k.ok(err)
	commit := service.OffsetCommit{Consumer: c.ID, Offset: 4, Incarnation: head.Incarnation}
	k.commit(commit)
	equal(k, "consumer", k.consumerNow(c.ID).Offset, 1)
	move := take(c, 1)
	move.Pending = &commit
	k.moves(k.move(move), "1:1")
	commit.Incarnation = "new"
	k.commit(commit)
	equal(k, "consumer", k.consumerNow(c.ID).Offset, 4)
}

func renewedByOperator(k *kit) {
	head := k.topic("a")
	k.estrange(head.Name)
	equal(k, "Foreign of the head answered", k.renew(head.Name, "new").Foreign, false)
	got, err := k.Renew(k.Context(), head.Name, "newer")
	k.ok(err)
	equal(k, "incarnation", got.Incarnation, "new")
}

// beyondTheEnd has a consumer that is further on than its topic, as when the topic has lost what the
// consumer has read (P11). It does not move by itself, and stays where it is until somebody seeks.
func beyondTheEnd(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 0)
	k.commit(service.OffsetCommit{Consumer: c.ID, Offset: 8})
	k.moves(k.move(take(c, 1)), "offset_out_of_range next_offset=5")
	equal(k, "consumer", k.consumerNow(c.ID).Offset, 8)
	equal(k, "consumer registered again", k.consumer(head.Name, "c", 0).Offset, 8)
	_, err := k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: 5}, start())
	k.ok(err)
	k.moves(k.move(take(c, 1)), "at 5")
}
