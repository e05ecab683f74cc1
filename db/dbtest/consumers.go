package dbtest

import (
	"fmt"
	"time"

	"github.com/topiq/topiq/service"
)

func consumerTests() []test {
	return []test{
		{"NewConsumerStartsWhereItWasAsked", newConsumerStarts},
		{"KnownNameKeepsIDAndPosition", knownNameKeepsPosition},
		{"MissingTopicIsRefused", consumerOfMissingTopic},
		{"UnregisterForgetsThePosition", unregisterConsumer},
		{"ConsumersAnswersThoseThatExist", consumersThatExist},
		{"FindConsumerFindsByName", findConsumer},
		{"ListPagesByID", listConsumers},
		{"SeekSetsThePosition", seek},
		{"SeekRefusalsChangeNothing", seekRefusals},
	}
}

func newConsumerStarts(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	_, err := k.Trim(k.Context(), head.ID, 2)
	k.ok(err)
	head = k.head(head.Name)
	for i, row := range []struct {
		from    service.Start
		offset  service.Offset
		refusal string
	}{
		{service.FromBeginning, 2, "ok"},
		{service.FromEnd, 5, "ok"},
		{2, 2, "ok"},
		{3, 3, "ok"},
		{5, 5, "ok"},
		{6, 0, "offset_out_of_range next_offset=5"},
		{service.MaxInteger, 0, "offset_out_of_range next_offset=5"},
		{1, 0, "offset_trimmed first_offset=2"},
		{0, 0, "offset_trimmed first_offset=2"},
	} {
		for _, name := range []string{"", fmt.Sprintf("c%d", i)} {
			c, at, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{
				Topic: head.Name, Name: name, From: row.from, At: start(),
			})
			k.refused(err, row.refusal)
			if err != nil {
				continue
			}
			equal(k, "head", at, head)
			want := service.Consumer{ID: c.ID, Topic: head.ID, Name: name, Offset: row.offset, LastSeen: kept(start())}
			equal(k, "consumer", c, want)
			equal(k, "consumer read", k.consumerNow(c.ID), want)
			checkID(k, c.ID, head.Name)
		}
	}
}

func knownNameKeepsPosition(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 2)
	for _, from := range []service.Start{service.FromBeginning, service.FromEnd, 4, 99} {
		again, at, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{
			Topic: head.Name, Name: "c", From: from, At: after(time.Hour),
		})
		k.ok(err)
		equal(k, "consumer", again, c)
		equal(k, "head", at, k.head(head.Name))
	}
	k.moves(k.move(take(c, 2)), "2:2,3")
	equal(k, "position after a move", k.consumer(head.Name, "c", 0).Offset, 4)
	upper, other := k.consumer(head.Name, "C", 0), k.consumer(k.topic("b").Name, "c", 0)
	if upper.ID == c.ID || other.ID == c.ID {
		k.Errorf("got ids %d, %d, %d for three consumers", c.ID, upper.ID, other.ID)
	}
	first, second := k.consumer(head.Name, "", 0), k.consumer(head.Name, "", 0)
	if first.ID == second.ID {
		k.Error("two consumers without a name are one")
	}
}

func consumerOfMissingTopic(k *kit) {
	_, _, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{Topic: k.name("none"), Name: "c", At: start()})
	k.refused(err, "topic_not_found")
	heads, err := k.Heads(k.Context(), []service.TopicName{k.name("none")})
	k.ok(err)
	equal(k, "heads", heads, nil)
}

func unregisterConsumer(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 3)
	c := k.consumer(a.Name, "c", 2)
	k.refused(k.UnregisterConsumer(k.Context(), k.name("none"), c.ID), "topic_not_found")
	k.refused(k.UnregisterConsumer(k.Context(), b.Name, c.ID), "consumer_not_found")
	k.refused(k.UnregisterConsumer(k.Context(), a.Name, 0), "consumer_not_found")
	equal(k, "consumer", k.consumerNow(c.ID), c)
	k.ok(k.UnregisterConsumer(k.Context(), a.Name, c.ID))
	k.refused(k.UnregisterConsumer(k.Context(), a.Name, c.ID), "consumer_not_found")
	k.moves(k.move(take(c, 1)), "consumer_not_found")
	_, err := k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID}, start())
	k.refused(err, "consumer_not_found")
	_, err = k.FindConsumer(k.Context(), a.ID, "c")
	k.refused(err, "consumer_not_found")
	again := k.consumer(a.Name, "c", service.FromBeginning)
	equal(k, "position of the next consumer of that name", again.Offset, 0)
	if again.ID == c.ID {
		k.Errorf("the id %d is used again", c.ID)
	}
}

func consumersThatExist(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 3)
	c, d, e := k.consumer(a.Name, "c", 1), k.consumer(b.Name, "", 0), k.consumer(a.Name, "e", 0)
	k.ok(k.UnregisterConsumer(k.Context(), a.Name, e.ID))
	rows, err := k.Consumers(k.Context(), []service.ConsumerID{d.ID, e.ID, c.ID, 1})
	k.ok(err)
	equal(k, "consumers", sorted(rows, consumerID), sorted([]service.Consumer{c, d}, consumerID))
	rows, err = k.Consumers(k.Context(), nil)
	k.ok(err)
	equal(k, "consumers of no ids", rows, nil)
}

func consumerID(c service.Consumer) service.ConsumerID { return c.ID }

func findConsumer(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	c := k.consumer(a.Name, "c", 0)
	k.consumer(a.Name, "", 0)
	row, err := k.FindConsumer(k.Context(), a.ID, "c")
	k.ok(err)
	equal(k, "consumer", row, c)
	for _, absent := range []struct {
		topic service.TopicID
		name  string
	}{{a.ID, "C"}, {a.ID, ""}, {a.ID, "%"}, {b.ID, "c"}, {a.ID + service.Buckets<<30, "c"}} {
		_, err := k.FindConsumer(k.Context(), absent.topic, absent.name)
		k.refused(err, "consumer_not_found")
	}
}

func listConsumers(k *kit) {
	head, other := k.topic("a"), k.topic("b")
	var want []service.Consumer
	for _, name := range []string{"", "x", "", "a", "B", ""} {
		want = append(want, k.consumer(head.Name, name, 0))
	}
	k.consumer(other.Name, "x", 0)
	want = sorted(want, consumerID)
	for _, limit := range []int{1, 4, 6, 100} {
		var got []service.Consumer
		var last service.ConsumerID
		for {
			rows, err := k.ListConsumers(k.Context(), head.ID, last, limit)
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

func seek(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	want := k.consumer(head.Name, "c", 2)
	_, err := k.Trim(k.Context(), head.ID, 1)
	k.ok(err)
	for i, row := range []struct {
		offset, want service.Offset
		topic        service.TopicID
	}{
		{4, 4, 0},
		{5, 5, head.ID},
		{1, 1, head.ID},
		{1, 1, 0},
		{-1, 1, 0},
		{3, 3, 0},
	} {
		at := after(time.Duration(i+1) * time.Minute)
		got, err := k.Seek(k.Context(), service.SeekRequest{Consumer: want.ID, Topic: row.topic, Offset: row.offset}, at)
		k.ok(err)
		want.Offset, want.SeekNo, want.LastSeen = row.want, int64(i+1), kept(at)
		equal(k, "consumer", got, want)
		equal(k, "consumer read", k.consumerNow(want.ID), want)
	}
	k.moves(k.move(take(want, 1)), "3:3")
}

func seekRefusals(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 5)
	c := k.consumer(a.Name, "c", 2)
	_, err := k.Trim(k.Context(), a.ID, 1)
	k.ok(err)
	for _, row := range []struct {
		request service.SeekRequest
		refusal string
	}{
		{service.SeekRequest{Consumer: c.ID, Offset: 6}, "offset_out_of_range next_offset=5"},
		{service.SeekRequest{Consumer: c.ID, Offset: 0}, "offset_trimmed first_offset=1"},
		{service.SeekRequest{Consumer: c.ID, Offset: 3, Topic: b.ID}, "consumer_not_found"},
		{service.SeekRequest{Consumer: c.ID + service.Buckets<<30, Offset: 3}, "consumer_not_found"},
		{service.SeekRequest{Consumer: 0, Offset: 3}, "consumer_not_found"},
	} {
		_, err := k.Seek(k.Context(), row.request, after(time.Hour))
		k.refused(err, row.refusal)
		equal(k, "consumer", k.consumerNow(c.ID), c)
	}
}
