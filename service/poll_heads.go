package service

import (
	"context"
	"slices"

	"github.com/topiq/topiq/fault"
)

const (
	// headBatch is how many heads are read by one query.
	headBatch = 1000
	// headRounds is in how many rounds each head is read at least once. Together they take headRounds times
	// Config.PollInterval: about a second.
	headRounds = 5
)

// headPolls reads the heads of all topics that somebody waits on, in turns: those of up to headBatch topics in every
// round, and of more a part in each, so that ten thousand long polls do not take the store from those who produce. Used
// by one goroutine.
type headPolls struct{ round, of int }

// next returns which of these topics are read in this round.
func (p *headPolls) next(waitedOn []TopicName) []TopicName {
	if p.round++; p.round >= p.of { // never in between: a topic could be passed over again and again
		p.round, p.of = 0, min((len(waitedOn)+headBatch-1)/headBatch, headRounds)
	}
	if p.of <= 1 {
		return waitedOn
	}
	return slices.DeleteFunc(waitedOn, func(name TopicName) bool { return int(BucketOf(name))%p.of != p.round })
}

// pollHeads looks for what other brokers appended to topics somebody waits on here (P12). It is
// enough by itself; hints only make it sooner. Most topics are as they were, and of those nothing is read.
func (b *Broker) pollHeads(ctx context.Context, polls *headPolls) {
	if fault.Point("notify.lost") != nil {
		return // the next round wakes instead
	}
	for names := range slices.Chunk(polls.next(b.topics.waitedOn()), headBatch) {
		if err := b.loadChanged(ctx, names); err != nil {
			b.log.WarnContext(ctx, "reading heads for long polls failed", "error", err)
			return
		}
	}
}

// loadChanged reads the heads of those topics that are not as this broker knows them.
func (b *Broker) loadChanged(ctx context.Context, names []TopicName) error {
	var seen []Head
	var unknown []TopicName
	known := b.topics.entries(names)
	for _, name := range names {
		if t := known[name]; t != nil {
			head, _, _ := t.known()
			seen = append(seen, head)
		} else {
			unknown = append(unknown, name)
		}
	}
	changed, err := b.store.Changed(ctx, seen)
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
