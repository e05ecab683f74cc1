package service

import (
	"context"
	"time"
)

// Tracer follows single requests through the groups that they are committed in, where an Observer is told of
// groups alone. One group serves many requests, so no context says which of them a commit is for: a request that
// is followed leaves a Followed with its job, and the group gives all of its own back.
type Tracer interface {
	// Follow is asked by each request that is about to wait for a group, in the goroutine of the request. It answers
	// what Committed is to get, or nil for a request that is not to be followed.
	Follow(ctx context.Context, topic TopicName) Followed
	// Committed is told of a group with requests that are followed, after its transaction has ended, one way or
	// the other, and before any of them is answered. It is called while a lane stands still, so it must be quick and
	// must not block. A request whose transaction is tried again is in more than one group.
	Committed(g Group, began time.Time, followed []Followed)
}

// Followed is what a Tracer wants to know of a request again. Here it is only carried.
type Followed any

// traced asks the tracer, if there is one.
func (b *Broker) traced(ctx context.Context, topic TopicName) Followed {
	if b.config.Tracer == nil {
		return nil
	}
	return b.config.Tracer.Follow(ctx, topic)
}

// observed tells the observer and the tracer of a group that began at a time.
func observed[Req, Res any](b *Broker, g Group, began time.Time, jobs []*job[Req, Res]) {
	b.config.Observer.Grouped(g)
	if b.config.Tracer == nil {
		return
	}
	var followed []Followed
	for _, j := range jobs {
		if j.followed != nil {
			followed = append(followed, j.followed)
		}
	}
	if len(followed) > 0 {
		b.config.Tracer.Committed(g, began, followed)
	}
}
