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
// enough by itself; hints only make it sooner.
func (b *Broker) pollHeads(ctx context.Context, polls *headPolls) {
	if fault.Point("notify.lost") != nil {
		return // the next round wakes instead
	}
	for names := range slices.Chunk(polls.next(b.topics.waitedOn()), headBatch) {
		if _, err := b.loadHeads(ctx, names); err != nil {
			b.log.WarnContext(ctx, "reading heads for long polls failed", "error", err)
			return
		}
	}
}
