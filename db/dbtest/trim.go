package dbtest

import (
	"fmt"

	"github.com/topiq/topiq/service"
)

func trimTests() []test {
	return []test{
		{"FloorMovesForwardOnly", floorMovesForward},
		{"MissingTopicIsRefused", trimMissing},
		{"TrimmedMessagesAreInvisibleAtOnce", trimmedAreInvisible},
		{"TopicGoesOnAfterATrimOfEverything", goesOnAfterTrim},
		{"SweepAfterTrimEnds", sweepAfterTrim},
		{"PositionBelowTheFloorIsRefused", positionBelowFloor},
		{"CountsAndSeqsStay", countsStay},
	}
}

func floorMovesForward(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	r := send(p, "1", "22", "333", "4444", "55555")
	r.Payloads[4].Headers = service.Headers{"key": "value"}
	k.answers(k.append(r), "-@0*5")
	want := k.head(head.Name)
	equal(k, "bytes", want.Bytes, 23)
	for _, row := range []struct {
		before, first service.Offset
		bytes         int64
	}{
		{0, 0, 23},
		{-1, 0, 23},
		{1, 1, 22},
		{1, 1, 22},
		{0, 1, 22},
		{3, 3, 17},
		{2, 3, 17},
		{4, 4, 13},
		{99, 5, 0},
		{service.MaxInteger, 5, 0},
		{0, 5, 0},
	} {
		got, err := k.Trim(k.Context(), head.ID, row.before)
		k.ok(err)
		want.First, want.Bytes = row.first, row.bytes
		equal(k, fmt.Sprintf("head after a trim before %d", row.before), got, want)
		equal(k, "head read", k.head(head.Name), want)
		k.sweep(100)
		equal(k, "head after a sweep", k.head(head.Name), want)
		equal(k, "messages", len(k.log(head.Name)), int(5-row.first))
	}
}

func trimMissing(k *kit) {
	head := k.topic("a")
	_, err := k.Trim(k.Context(), head.ID+service.Buckets<<30, 0)
	k.refused(err, "topic_not_found")
}

func trimmedAreInvisible(k *kit) {
	head := k.topic("a")
	k.fill(head, 10)
	for first := service.Offset(1); first <= 10; first += 3 {
		_, err := k.Trim(k.Context(), head.ID, first)
		k.ok(err)
		for from := range service.Offset(10) {
			messages, err := k.Read(k.Context(), head.ID, from, 100, 1000)
			k.ok(err)
			want := 0
			if from >= first {
				want = int(10 - from)
			}
			equal(k, fmt.Sprintf("messages from %d with first offset %d", from, first), len(messages), want)
		}
	}
}

func goesOnAfterTrim(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	for i := range int64(3) {
		seq, offset := 2*i, 2*i
		k.answers(k.append(sendSeq(p, seq, "x", "y")), fmt.Sprintf("%d@%d*2", seq, offset))
		trimmed, err := k.Trim(k.Context(), head.ID, service.Offset(offset+2))
		k.ok(err)
		equal(k, "bytes", trimmed.Bytes, 0)
		k.sweep(1)
		k.holds(head.Name)
	}
	k.answers(k.append(sendSeq(p, 6, "last")), "6@6*1")
	k.holds(head.Name, "last")
	equal(k, "LastAppend", k.head(head.Name).LastAppend, kept(start()))
}

func sweepAfterTrim(k *kit) {
	k = k.alone()
	head, other := k.topic("a"), k.topic("b")
	k.fill(head, 60)
	k.fill(other, 3)
	_, err := k.Trim(k.Context(), head.ID, 50)
	k.ok(err)
	if n := k.sweep(7); n != 0 && n != 50 {
		k.Errorf("%d rows were swept, but 50 messages were trimmed", n)
	}
	equal(k, "rows left after a sweep", k.sweep(7), 0)
	equal(k, "messages left", len(k.log(head.Name)), 10)
	k.holds(other.Name, "0", "1", "2")
	_, err = k.Trim(k.Context(), head.ID, 55)
	k.ok(err)
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	k.sweep(7)
	equal(k, "rows left after all", k.sweep(7), 0)
}

func positionBelowFloor(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 1)
	_, err := k.Trim(k.Context(), head.ID, 3)
	k.ok(err)
	k.moves(k.move(take(c, 1)), "offset_trimmed first_offset=3")
	k.sweep(100)
	k.moves(k.move(take(c, 1)), "offset_trimmed first_offset=3")
	equal(k, "consumer", k.consumerNow(c.ID), c)
	_, err = k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: -1}, start())
	k.ok(err)
	k.moves(k.move(take(c, 10)), "3:3,4")
}

func countsStay(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1", "2")), "0@0*3")
	_, err := k.Trim(k.Context(), head.ID, 3)
	k.ok(err)
	k.sweep(100)
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	p.NextSeq, p.LastOffset, p.Count = 3, 2, 3
	equal(k, "producer", row, p)
	k.answers(k.append(sendSeq(p, 3, "3")), "3@3*1")
}
