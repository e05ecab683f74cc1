package service

import (
	"context"
	"slices"
	"time"

	"github.com/topiq/topiq/fault"
)

const (
	// headBatch is how many heads are read by one query: a server is busy with it for less than a millisecond, and those
	// who produce meanwhile hardly notice.
	headBatch = 250
	// roundBatch is of how many topics all heads are read in every round.
	roundBatch = 1000
	// headRounds is in how many rounds each head is read at least once. Together they take headRounds times
	// Config.PollInterval: about a second.
	headRounds = 5
)

// headPolls reads the heads of all topics that somebody waits on, in turns: those of up to roundBatch topics in every
// round, and of more a part in each, so that ten thousand long polls do not take the store from those who produce. Used
// by one goroutine.
type headPolls struct {
	round, of int
	// Memory that each round uses again: garbage is collected at the cost of those who produce.
	names []TopicName
	seen  []Head
}

// next returns which of these topics are read in this round.
func (p *headPolls) next(waitedOn []TopicName) []TopicName {
	if p.round++; p.round >= p.of { // never in between: a topic could be passed over again and again
		p.round, p.of = 0, min((len(waitedOn)+roundBatch-1)/roundBatch, headRounds)
	}
	if p.of <= 1 {
		return waitedOn
	}
	return slices.DeleteFunc(waitedOn, func(name TopicName) bool { return int(BucketOf(name))%p.of != p.round })
}

// pollHeads looks for what other brokers appended to topics somebody waits on here (P12). It is
// enough by itself; hints only make it sooner. Most topics are as they were, and of those nothing is read.
// Its queries are spread over the time until the next round.
func (b *Broker) pollHeads(ctx context.Context, polls *headPolls) {
	if fault.Point("notify.lost") != nil {
		return // the next round wakes instead
	}
	polls.names = b.topics.waitedOn(polls.names[:0])
	names := polls.next(polls.names)
	between := b.config.PollInterval / time.Duration(len(names)/headBatch+2)
	for len(names) > 0 {
		n := min(len(names), headBatch)
		if err := b.loadChanged(ctx, polls, names[:n]); err != nil {
			b.log.WarnContext(ctx, "reading heads for long polls failed", "error", err)
			return
		}
		if names = names[n:]; len(names) > 0 && b.rest(ctx, between) != nil {
			return
		}
	}
}

// loadChanged reads the heads of those topics that are not as this broker knows them.
func (b *Broker) loadChanged(ctx context.Context, polls *headPolls, names []TopicName) error {
	var unknown []TopicName
	polls.seen, unknown = b.topics.knownHeads(names, polls.seen[:0])
	changed, err := b.store.Changed(ctx, polls.seen)
	if err != nil {
		return err
	}
	if changed = append(changed, unknown...); len(changed) > 0 {
		_, err = b.loadHeads(ctx, changed)
	}
	return err
}

// ChangedHeads is Store.Changed for an engine that has read the heads of these topics.
func ChangedHeads(seen, stored []Head) []TopicName {
	byName := make(map[TopicName]*Head, len(stored))
	for i := range stored {
		byName[stored[i].Name] = &stored[i]
	}
	var changed []TopicName
	for i := range seen {
		was, is := &seen[i], byName[seen[i].Name]
		if is == nil || is.ID != was.ID || is.Incarnation != was.Incarnation || is.Next != was.Next || is.Foreign {
			changed = append(changed, was.Name)
		}
	}
	return changed
}

// NamesOf are the names of topics.
func NamesOf(heads []Head) []TopicName {
	names := make([]TopicName, len(heads))
	for i := range heads {
		names[i] = heads[i].Name
	}
	return names
}
