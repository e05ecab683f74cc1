package service

import (
	"context"
	"time"

	"github.com/topiq/topiq/fault"
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
	j := newJob[moveJob, MoveResult](ctx, moveJob{request, t}, 256)
	j.followed = b.traced(ctx, t.name)
	j.weight += min(w.maxBytes, int64(w.limit)*(b.limits.MessageBytes+b.limits.HeaderBytes))
	if err := b.moves.submit(BucketOfID(r.Consumer), j); err != nil {
		t.release()
		return MoveResult{}, err
	}
	return j.wait(ctx)
}

// moveGroup is the work of the move lanes: one transaction for all that waited. Nobody gets what is
// dequeued for a caller that has gone, so those that have gone already are left out.
func (b *Broker) moveGroup(_ int, group []*job[moveJob, MoveResult]) {
	topics := make(map[TopicID]*topic, len(group))
	waiting := make([]*job[moveJob, MoveResult], 0, len(group))
	for _, j := range group {
		defer j.req.topic.release()
		if j.abandoned() {
			j.err = ErrUnavailable
			continue
		}
		topics[j.req.topic.id] = j.req.topic
		j.req.Pending = b.positions.pending(j.req.Consumer)
		waiting = append(waiting, j)
	}
	results, errs := attempt(waiting, func(waiting []*job[moveJob, MoveResult]) ([]MoveResult, error) {
		return b.moveOnce(waiting, topics)
	}, func(err error) bool { return CodeOf(err) == CodeInternal }) // one damaged topic fails alone
	for i, j := range waiting {
		j.res, j.err = results[i], errs[i]
		if refusal := results[i].Err; j.err == nil && refusal != nil {
			j.err = refusal
		}
		if cause := contradiction(j.err); cause != nil {
			j.err = b.stopTopic(context.Background(), j.req.topic, cause)
		}
	}
}

func (b *Broker) moveOnce(group []*job[moveJob, MoveResult], topics map[TopicID]*topic) ([]MoveResult, error) {
	requests := make([]MoveRequest, len(group))
	for i, j := range group {
		requests[i] = j.req.MoveRequest
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	at := time.Now()
	tail := func(id TopicID, incarnation string, from Offset, limit int, maxBytes int64) ([]Message, error) {
		// What the tail holds is committed, and the group has read the incarnation itself. limit
		// is at most what the head shows: a tail that falls short of it lacks another broker's
		// messages, and the store has them all.
		if messages, full := topics[id].read(incarnation, from, window{limit, maxBytes}); full {
			b.counters.fromTail(true)
			return messages, nil
		}
		b.counters.fromTail(false)
		return nil, nil
	}
	results, err := b.store.Move(ctx, requests, tail, b.now())
	observed(b, moved(requests, results, time.Since(at), err), at, group)
	if lost := fault.Point("offset.after_commit"); lost != nil && err == nil {
		err = ErrOutcomeUnknown.Because(lost)
	}
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

// moved is what is told of a group of dequeues.
func moved(requests []MoveRequest, results []MoveResult, took time.Duration, err error) Group {
	g := Group{Work: WorkMove, Requests: len(requests), Took: took, Err: err}
	if err == nil {
		for i := range results {
			g.Messages += len(results[i].Messages)
			for k := range results[i].Messages {
				g.Bytes += results[i].Messages[k].Size()
			}
		}
	}
	return g
}
