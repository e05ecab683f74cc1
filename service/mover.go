package service

import (
	"context"
	"errors"
	"time"
)

// moveJob is a dequeue on its way through a lane.
type moveJob struct {
	MoveRequest
	topic *topic
}

// move dequeues for one consumer. The lane holds on to t by itself: it goes on when the caller is gone.
func (b *Broker) move(ctx context.Context, t *topic, r *ConsumeRequest, w window) (MoveResult, error) {
	request := MoveRequest{
		Topic: t.id, Consumer: r.Consumer, Incarnation: r.Incarnation, Limit: w.limit, MaxBytes: w.maxBytes,
	}
	t.used.Add(1)
	j := &job[moveJob, MoveResult]{req: moveJob{request, t}, size: 256, done: make(chan struct{})}
	if err := b.moves.submit(BucketOfID(r.Consumer), j); err != nil {
		t.release()
		return MoveResult{}, err
	}
	return j.wait(ctx)
}

// moveGroup is the work of the move lanes: one transaction for all that waited.
func (b *Broker) moveGroup(_ int, group []*job[moveJob, MoveResult]) {
	topics := make(map[TopicID]*topic, len(group))
	requests := make([]MoveRequest, len(group))
	for i, j := range group {
		topics[j.req.topic.id] = j.req.topic
		requests[i] = j.req.MoveRequest
		requests[i].Pending = b.positions.pending(j.req.Consumer)
	}
	results, errs := attempt(requests, func(requests []MoveRequest) ([]MoveResult, error) {
		return b.moveOnce(requests, topics)
	}, func(err error) bool { return errors.Is(err, ErrInternal) }) // one topic with a hole fails alone
	for i, j := range group {
		j.res, j.err = results[i], errs[i]
		if refusal := results[i].Err; j.err == nil && refusal != nil {
			j.err = refusal
		}
		j.req.topic.release()
	}
}

func (b *Broker) moveOnce(requests []MoveRequest, topics map[TopicID]*topic) ([]MoveResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	at := time.Now()
	tail := func(id TopicID, incarnation string, from Offset, limit int, maxBytes int64) ([]Message, error) {
		// What the tail holds is committed, and the group has read the incarnation itself. limit
		// is at most what the head shows: a tail that falls short of it lacks another broker's
		// messages, and the store has them all.
		if messages, full := topics[id].read(incarnation, from, window{limit, maxBytes}); full {
			return messages, nil
		}
		return nil, nil
	}
	results, err := b.store.Move(ctx, requests, tail, b.now())
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Err == nil {
			b.positions.learn(results[i].Consumer, at)
		}
	}
	return results, nil
}
