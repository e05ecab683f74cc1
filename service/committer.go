package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// commitTimeout is how long one group may take. It is far beyond what a working store needs: it
// only keeps a lane from standing still for ever.
const commitTimeout = 30 * time.Second

// produceJob is a produce request on its way through a lane.
type produceJob struct {
	AppendRequest
	topic *topic
}

// commitGroup is the work of the commit lanes: one Append for all that waited. Nobody is answered
// before it returned.
func (b *Broker) commitGroup(_ int, group []*job[produceJob, AppendResult]) {
	defer func() {
		for _, j := range group {
			j.req.topic.release()
		}
	}()
	leaders, copies := arrange(group)
	requests := make([]AppendRequest, len(leaders))
	for i, j := range leaders {
		requests[i] = j.req.AppendRequest
	}
	results, errs := attempt(requests, func(requests []AppendRequest) ([]AppendResult, error) {
		return b.appendGroup(requests, leaders)
	}, func(err error) bool { return CodeOf(err) == CodeInternal && errors.Is(err, ErrBadData) })
	for i, j := range leaders {
		j.res, j.err = results[i], errs[i]
		if refusal := results[i].Err; j.err == nil && refusal != nil {
			j.err = refusal
		}
	}
	for j, leader := range copies {
		j.res, j.err = leader.res, leader.err
	}
}

// appendGroup stores a group and publishes what it added to the tails. leaders name the topics.
func (b *Broker) appendGroup(requests []AppendRequest, leaders []*job[produceJob, AppendResult]) ([]AppendResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	topics := make(map[TopicID]*topic, len(leaders))
	for _, j := range leaders {
		topics[j.req.topic.id] = j.req.topic
	}
	at := time.Now()
	plan, err := b.store.Append(ctx, requests, b.now())
	if CodeOf(err) == CodeOutcomeUnknown {
		// It may be stored: whoever waits for messages must look.
		for i := range requests {
			b.topics.tailBytes.Add(-topics[requests[i].Topic].refresh())
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range plan.Topics {
		added := &plan.Topics[i]
		growth, err := topics[added.Head.ID].publish(added, at)
		if err != nil {
			// The messages are stored, so their producers are told so; but the topic is stopped.
			b.log.ErrorContext(ctx, "an append contradicts what was known; the topic is stopped",
				"topic", added.Head.Name, "error", err)
			continue
		}
		b.topics.published(growth)
	}
	return plan.Results, nil
}

// arrange puts a group in order (P7): the requests of one producer by seq, so that those that
// overtook each other on the way do not answer seq_gap; and merges copies of one request that are
// equal in everything, which get the answer of the first. Requests without seq are never merged.
func arrange(group []*job[produceJob, AppendResult]) (leaders []*job[produceJob, AppendResult], copies map[*job[produceJob, AppendResult]]*job[produceJob, AppendResult]) {
	type producer struct {
		topic TopicID
		id    ProducerID
		name  string
	}
	places := map[producer][]int{}
	for i, j := range group {
		if j.req.Seq != NoSeq {
			key := producer{j.req.Topic, j.req.Producer, j.req.ProdName}
			places[key] = append(places[key], i)
		}
	}
	ordered := slices.Clone(group)
	for _, at := range places {
		if len(at) == 1 {
			continue
		}
		own := make([]*job[produceJob, AppendResult], len(at))
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
