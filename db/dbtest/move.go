package dbtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/topiq/topiq/service"
)

func moveTests() []test {
	return []test{
		{"EightRequestsOnOneConsumerGetDifferentMessages", eightInAGroup},
		{"EmptyDoesNotMove", emptyDoesNotMove},
		{"LimitAndMaxBytesAreKept", moveLimits},
		{"OrderOfRefusals", moveRefusals},
		{"RefusalInAGroupStandsAlone", moveGroup},
		{"PendingCommitIsAppliedFirst", movePending},
		{"PendingCommitIsVoidAfterASeek", movePendingAfterSeek},
		{"TailIsAskedBeforeTheStore", moveTail},
		{"HoleInATailMovesNothing", moveHole},
		{"MoveIsSeenAtOnce", moveIsSeen},
	}
}

// take asks to dequeue up to limit messages.
func take(c service.Consumer, limit int) service.MoveRequest {
	return service.MoveRequest{Topic: c.Topic, Consumer: c.ID, Limit: limit, MaxBytes: 1 << 30}
}

// noTail is a tail that holds nothing.
func noTail(service.TopicID, string, service.Offset, int, int64) ([]service.Message, error) {
	return nil, nil
}

// move dequeues a minute after the start; an error of the whole group ends the test.
func (k *kit) move(requests ...service.MoveRequest) []service.MoveResult {
	k.Helper()
	results, err := k.Move(k.Context(), requests, noTail, after(time.Minute))
	k.ok(err)
	if len(results) != len(requests) {
		k.Fatalf("Move answered %d results for %d requests", len(results), len(requests))
	}
	return results
}

// moves requires the answers of a group of moves, in the form of describeMove.
func (k *kit) moves(got []service.MoveResult, want ...string) {
	k.Helper()
	var described []string
	for i := range got {
		described = append(described, describeMove(&got[i]))
	}
	equal(k, "moves", described, want)
}

// describeMove writes an answer as text: the first offset and the messages, "at" and the position
// when there are none, or the refusal.
func describeMove(r *service.MoveResult) string {
	if r.Err != nil {
		return refusal(r.Err)
	}
	if len(r.Messages) == 0 {
		return fmt.Sprintf("at %d", r.Consumer.Offset)
	}
	var texts []string
	for i := range r.Messages {
		texts = append(texts, string(r.Messages[i].Bytes))
	}
	answer := fmt.Sprintf("%d:%s", r.Messages[0].Offset, strings.Join(texts, ","))
	if end := r.Messages[0].Offset + service.Offset(len(r.Messages)); end != r.Consumer.Offset {
		answer += fmt.Sprintf(" but at %d", r.Consumer.Offset)
	}
	return answer
}

func eightInAGroup(k *kit) {
	head := k.topic("a")
	k.fill(head, 7)
	c := k.consumer(head.Name, "c", service.FromBeginning)
	var requests []service.MoveRequest
	for range 8 {
		requests = append(requests, take(c, 1))
	}
	results := k.move(requests...)
	k.moves(results, "0:0", "1:1", "2:2", "3:3", "4:4", "5:5", "6:6", "at 7")
	want := c
	want.Offset, want.LastSeen = 7, kept(after(time.Minute))
	equal(k, "consumer", k.consumerNow(c.ID), want)
	want.Offset = 1
	equal(k, "consumer in the first answer", results[0].Consumer, want)
	equal(k, "head in the first answer", results[0].Head, k.head(head.Name))
	equal(k, "message in the first answer", results[0].Messages[0], k.log(head.Name)[0])
}

func emptyDoesNotMove(k *kit) {
	head := k.topic("a")
	c := k.consumer(head.Name, "c", service.FromBeginning)
	for range 2 {
		k.moves(k.move(take(c, 1), take(c, 10)), "at 0", "at 0")
		equal(k, "consumer", k.consumerNow(c.ID), c)
	}
	k.fill(head, 2)
	k.moves(k.move(take(c, 10), take(c, 10)), "0:0,1", "at 2")
	moved := k.consumerNow(c.ID)
	k.moves(k.move(take(c, 1)), "at 2")
	equal(k, "consumer", k.consumerNow(c.ID), moved)
}

func moveLimits(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	k.answers(k.append(send(p, "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff")), "-@0*6")
	c := k.consumer(head.Name, "c", service.FromBeginning)
	bytes := func(r service.MoveRequest, limit int64) service.MoveRequest {
		r.MaxBytes = limit
		return r
	}
	k.moves(k.move(bytes(take(c, 10), 8), bytes(take(c, 10), 7), bytes(take(c, 10), 0), take(c, 1), take(c, 10)),
		"0:aaaa,bbbb", "2:cccc", "3:dddd", "4:eeee", "5:ffff")
}

func moveRefusals(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 5)
	c := k.consumer(a.Name, "c", service.FromBeginning)
	stranger := k.consumer(b.Name, "s", service.FromBeginning)
	_, err := k.Trim(k.Context(), a.ID, 2)
	k.ok(err)
	r := take(c, 1)
	r.Topic, r.Consumer, r.Incarnation = a.ID+service.Buckets<<30, stranger.ID, "other"
	k.moves(k.move(r), "topic_not_found")
	r.Topic = a.ID
	k.moves(k.move(r), "incarnation_changed incarnation="+a.Incarnation)
	r.Incarnation = a.Incarnation
	k.moves(k.move(r), "consumer_not_found")
	r.Consumer = c.ID
	k.moves(k.move(r), "offset_trimmed first_offset=2")
	r.Pending = &service.OffsetCommit{Consumer: c.ID, Offset: 6}
	k.moves(k.move(r), "offset_out_of_range next_offset=5")
	equal(k, "consumer", k.consumerNow(c.ID), c)
	r.Pending.Offset = 5
	k.moves(k.move(r), "at 5")
}

func moveGroup(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 3)
	k.fill(b, 3)
	c, d, e := k.consumer(a.Name, "c", 0), k.consumer(b.Name, "d", 1), k.consumer(a.Name, "e", 2)
	wrong := take(c, 1)
	wrong.Topic = b.ID
	k.moves(k.move(take(c, 1), take(d, 2), wrong, take(e, 5), take(service.Consumer{ID: 1, Topic: a.ID}, 1), take(c, 1)),
		"0:0", "1:1,2", "consumer_not_found", "2:2", "consumer_not_found", "1:1")
	equal(k, "positions", []service.Offset{
		k.consumerNow(c.ID).Offset, k.consumerNow(d.ID).Offset, k.consumerNow(e.ID).Offset,
	}, []service.Offset{2, 3, 3})
}

func movePending(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 1)
	with := func(offset service.Offset) service.MoveRequest {
		r := take(c, 1)
		r.Pending = &service.OffsetCommit{Consumer: c.ID, Offset: offset}
		return r
	}
	k.moves(k.move(with(3), with(3), with(0)), "3:3", "4:4", "at 5")
	equal(k, "position", k.consumerNow(c.ID).Offset, 5)
	// A pending commit counts even where there is nothing to dequeue.
	d := k.consumer(head.Name, "d", 0)
	r := take(d, 1)
	r.Pending = &service.OffsetCommit{Consumer: d.ID, Offset: 5}
	k.moves(k.move(r), "at 5")
	equal(k, "position", k.consumerNow(d.ID).Offset, 5)
}

func movePendingAfterSeek(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 0)
	_, err := k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: 1}, start())
	k.ok(err)
	r := take(c, 1)
	r.Pending = &service.OffsetCommit{Consumer: c.ID, Offset: 4, SeekNo: 0}
	k.moves(k.move(r), "1:1")
	r.Pending = &service.OffsetCommit{Consumer: c.ID, Offset: 4, SeekNo: 1}
	k.moves(k.move(r), "4:4")
}

func moveTail(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 1)
	tail := func(
		topic service.TopicID, incarnation string, from service.Offset, limit int, maxBytes int64,
	) ([]service.Message, error) {
		if topic != head.ID || incarnation != head.Incarnation || maxBytes != 1<<30 || limit > 4 {
			k.Errorf("the tail was asked for topic %d, incarnation %q, %d bytes, %d messages", topic, incarnation, maxBytes, limit)
		}
		if from < 3 {
			return nil, nil
		}
		return []service.Message{{Payload: text("from the tail"), Offset: from}}, nil
	}
	results, err := k.Move(k.Context(), []service.MoveRequest{take(c, 2), take(c, 9), take(c, 9), take(c, 9)}, tail, start())
	k.ok(err)
	k.moves(results, "1:1,2", "3:from the tail", "4:from the tail", "at 5")
}

func moveHole(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c, d := k.consumer(head.Name, "c", 0), k.consumer(head.Name, "d", 0)
	tail := func(_ service.TopicID, _ string, from service.Offset, _ int, _ int64) ([]service.Message, error) {
		if from == 0 {
			return nil, nil
		}
		return []service.Message{{Offset: from + 1}}, nil
	}
	_, err := k.Move(k.Context(), []service.MoveRequest{take(d, 1), take(c, 1), take(c, 1)}, tail, after(time.Minute))
	k.refused(err, "internal")
	equal(k, "first consumer", k.consumerNow(c.ID), c)
	equal(k, "second consumer", k.consumerNow(d.ID), d)
}

func moveIsSeen(k *kit) {
	head := k.topic("a")
	c := k.consumer(head.Name, "c", 0)
	for i := range 5 {
		k.fill(k.head(head.Name), 1)
		k.moves(k.move(take(c, 1)), fmt.Sprintf("%d:%d", i, i))
		row, err := k.FindConsumer(k.Context(), head.ID, "c")
		k.ok(err)
		equal(k, "position", row.Offset, service.Offset(i+1))
	}
}
