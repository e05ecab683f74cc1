package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/topiq/topiq/fault"
)

// commitTimeout is how long one group may take. It is far beyond what a working store needs: it
// only keeps a lane from standing still for ever.
const commitTimeout = 30 * time.Second

// produceJob is a produce request on its way through a lane.
type produceJob struct {
	AppendRequest
	topic *topic
}

// produceJobs is one request each, on its way through a lane.
type produceJobs = []*job[produceJob, AppendResult]

// commitGroup is the work of the commit lanes: one Append for all that waited. Nobody is answered
// before it returned; where its outcome is unknown, nobody with a seq before that is resolved. The
// lane does nothing else meanwhile, so no later group overtakes one that may still be stored.
func (b *Broker) commitGroup(ctx context.Context, group produceJobs) {
	defer func() {
		for _, j := range group {
			j.req.topic.release()
		}
	}()
	leaders, copies := arrange(group)
	results, errs := attempt(leaders, func(leaders produceJobs) ([]AppendResult, error) {
		results, err := b.appendGroup(ctx, leaders, false)
		if CodeOf(err) == CodeOutcomeUnknown {
			return b.resolveGroup(ctx, leaders, err), nil
		}
		return results, err
	}, func(err error) bool { return CodeOf(err) == CodeInternal && errors.Is(err, ErrBadData) })
	for i, j := range leaders {
		if j.answered {
			continue
		}
		j.res, j.err = results[i], errs[i]
		if refusal := results[i].Err; j.err == nil && refusal != nil {
			j.err = refusal
		}
	}
	for j, leader := range copies {
		j.res, j.err = leader.res, leader.err
	}
}

// appendGroup stores a group, for the first time or again, and publishes what it added to the tails.
func (b *Broker) appendGroup(ctx context.Context, group produceJobs, again bool) ([]AppendResult, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	topics := make(map[TopicID]*topic, len(group))
	requests := make([]AppendRequest, len(group))
	for i, j := range group {
		topics[j.req.topic.id] = j.req.topic
		requests[i] = j.req.AppendRequest
		requests[i].Again = again
	}
	if err := fault.Point("group.before_flush"); err != nil {
		return nil, ErrUnavailable.Because(err)
	}
	at := time.Now()
	plan, err := b.store.Append(ctx, requests, b.now())
	observed(b, appended(requests, &plan, time.Since(at), err), at, group)
	if lost := fault.Point("group.after_flush_before_fanout"); lost != nil && err == nil {
		err = ErrOutcomeUnknown.Because(lost)
	}
	if fault.Mistake("unknown_is_failure") && CodeOf(err) == CodeOutcomeUnknown {
		err = ErrInvalidRequest.Because(err)
	}
	if CodeOf(err) == CodeOutcomeUnknown {
		// It may be stored: whoever waits for messages must look.
		for _, t := range topics {
			b.topics.tailBytes.Add(-t.refresh())
		}
	}
	if err != nil {
		return nil, err
	}
	wrong := checkAppend(requests, &plan)
	for id, cause := range wrong {
		_ = b.stopTopic(ctx, topics[id], cause)
	}
	for i := range plan.Topics {
		if t := topics[plan.Topics[i].Head.ID]; wrong[t.id] == nil {
			b.published(ctx, t, &plan.Topics[i], at)
		}
	}
	return answers(requests, plan.Results, wrong), nil
}

// appended is what is told of a group of appends.
func appended(requests []AppendRequest, plan *AppendPlan, took time.Duration, err error) Group {
	g := Group{Work: WorkAppend, Requests: len(requests), Took: took, Err: err}
	if err == nil {
		for i := range plan.Topics {
			added := plan.Topics[i].Messages
			g.Messages += len(added)
			for k := range added {
				g.Bytes += added[k].Size()
			}
		}
	}
	return g
}

// published takes in what an append that began at `at` has added to a topic.
func (b *Broker) published(ctx context.Context, t *topic, added *TopicAppend, at time.Time) {
	if len(added.Messages) == 0 { // a re-run that found everything: the head may be news all the same
		t.observe(added.Head, at)
		return
	}
	growth, err := t.publish(added, at)
	if err != nil {
		// The messages are stored, so their producers are told so; but the topic is stopped.
		b.violated(ctx, t, err)
		return
	}
	b.topics.published(growth)
}

// arrange puts a group in order (P7): the requests of one producer by seq, so that those that
// overtook each other on the way do not answer seq_gap; and merges copies of one request that are
// equal in everything, which get the answer of the first. Requests without seq are never merged.
func arrange(group produceJobs) (leaders produceJobs, copies map[*job[produceJob, AppendResult]]*job[produceJob, AppendResult]) {
	type producer struct {
		topic TopicID
		id    ProducerID
		name  string
	}
	key := func(j *job[produceJob, AppendResult]) producer {
		return producer{j.req.Topic, j.req.Producer, j.req.ProdName}
	}
	// Mostly nobody is there twice, and nothing needs to be put in order.
	var shared map[producer][]int
	seen := make(map[producer]bool, len(group))
	for _, j := range group {
		if j.req.Seq == NoSeq {
			continue
		}
		if seen[key(j)] && shared == nil {
			shared = map[producer][]int{}
		}
		if seen[key(j)] {
			shared[key(j)] = nil
		}
		seen[key(j)] = true
	}
	if shared == nil {
		return group, nil
	}
	for i, j := range group {
		if at, ok := shared[key(j)]; ok && j.req.Seq != NoSeq {
			shared[key(j)] = append(at, i)
		}
	}
	ordered := slices.Clone(group)
	for _, at := range shared {
		own := make(produceJobs, len(at))
		for k, i := range at {
			own[k] = group[i]
		}
		slices.SortStableFunc(own, func(a, b *job[produceJob, AppendResult]) int { return cmp.Compare(a.req.Seq, b.req.Seq) })
		var last *job[produceJob, AppendResult]
		for k, i := range at {
			if last != nil && last.req.repeats(&own[k].req.AppendRequest) {
				if copies == nil {
					copies = map[*job[produceJob, AppendResult]]*job[produceJob, AppendResult]{}
				}
				copies[own[k]] = last
				ordered[i] = nil
				continue
			}
			last = own[k]
			ordered[i] = last
		}
	}
	return slices.DeleteFunc(ordered, func(j *job[produceJob, AppendResult]) bool { return j == nil }), copies
}

// repeats reports whether two requests of one producer are equal in every parameter.
func (r *AppendRequest) repeats(q *AppendRequest) bool {
	return r.Seq == q.Seq && r.Incarnation == q.Incarnation &&
		equalOptional(r.Epoch, q.Epoch) && equalOptional(r.ExpectedOffset, q.ExpectedOffset) &&
		slices.EqualFunc(r.Payloads, q.Payloads, func(a, b Payload) bool { return a.Same(&b) })
}

func equalOptional[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
