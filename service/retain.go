package service

import (
	"context"
	"errors"
	"time"

	"github.com/topiq/topiq/fault"
)

const (
	// trimRows is how far one trim moves the first offset of a topic at most. What it makes invisible is
	// counted before its transaction, which is as small for many as for one; the bound is for the count.
	trimRows = 50_000
	// trimSteps bounds the trims of one topic in one round: the others have their turn.
	trimSteps = 100
	// retainedRows is how many topics are read at a time.
	retainedRows = 500
)

// retentionLoop lets go of what topics need not keep, round by round. Brokers on one store all do it, and
// need not agree: where to cut is decided anew by each from what is stored, and to trim before an offset
// a second time changes nothing. That their rounds begin at random times keeps them from all doing the
// same work at the same moment; whoever comes second finds nothing to do.
func (b *Broker) retentionLoop(ctx context.Context) {
	for {
		// Between a half and one and a half of the interval.
		pause := time.NewTimer(time.Duration((0.5 + b.config.Random()) * float64(b.config.RetentionInterval)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
			b.retainAll(ctx)
		}
	}
}

// retainAll is one round.
func (b *Broker) retainAll(ctx context.Context) {
	var after TopicID
	for ctx.Err() == nil {
		topics, err := b.store.ListRetained(ctx, after, retainedRows)
		if err != nil {
			b.retentionFailed(ctx, err)
			return
		}
		for i := range topics {
			if err := b.retain(ctx, &topics[i]); err != nil {
				b.retentionFailed(ctx, err, "topic", topics[i].Name)
			}
		}
		if len(topics) < retainedRows {
			return
		}
		after = topics[len(topics)-1].ID
	}
}

func (b *Broker) retentionFailed(ctx context.Context, err error, args ...any) {
	if ctx.Err() == nil {
		b.log.WarnContext(ctx, "retention failed; trying again later", append(args, "error", err)...)
	}
}

// retain lets go of what one topic need not keep. First the visible floor moves, step by step, each a small
// transaction; the rows below it go after that, by Sweep. So nothing is ever missing above the floor, and
// a reader that finds a message gone finds the floor above it.
func (b *Broker) retain(ctx context.Context, r *Retained) error {
	if !r.Limited() {
		return nil
	}
	for range trimSteps {
		head, err := b.retainedHead(ctx, r)
		if err != nil || head.First == head.Next {
			return err
		}
		cut, err := b.cut(ctx, r, head)
		if err != nil || cut <= head.First {
			return err
		}
		trimmed, err := b.store.Trim(ctx, r.ID, cut, r.Retention)
		if errors.Is(err, ErrTopicNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		b.trimmed(trimmed)
		if err := fault.Point("retention.between_batches"); err != nil {
			return err
		}
		if trimmed.First < cut || ctx.Err() != nil {
			return nil //nolint:nilerr // as far as consumers have read that are waited for; or overruled; or until the next start
		}
	}
	return nil
}

// retainedHead reads the head of a topic, the zero Head if it is another topic by now or none.
func (b *Broker) retainedHead(ctx context.Context, r *Retained) (Head, error) {
	heads, err := b.store.Heads(ctx, []TopicName{r.Name})
	if err != nil || len(heads) == 0 || heads[0].ID != r.ID {
		return Head{}, err
	}
	return heads[0], nil
}

// cut returns the offset below which a topic need not keep its messages, but at most trimRows beyond its first
// offset. It costs little where nothing is to go, however long the log is: the count is a difference, the age a
// binary search, for CreatedAt never decreases, and of the sizes few more are added up than go.
func (b *Broker) cut(ctx context.Context, r *Retained, head Head) (Offset, error) {
	cut := head.First
	if r.MaxMessages > 0 {
		cut = max(cut, head.Next-Offset(r.MaxMessages))
	}
	if r.MaxAge > 0 {
		old, err := b.firstSince(ctx, head, b.now().Add(-r.MaxAge))
		if err != nil {
			return 0, err
		}
		cut = max(cut, old)
	}
	if r.MaxBytes > 0 && head.Bytes > r.MaxBytes {
		// An engine may look at all the messages that it may let go, so that is not many more than it will be.
		excess := head.Bytes - r.MaxBytes
		likely := float64(excess) * float64(head.Next-head.First) / float64(head.Bytes)
		most := int(min(trimRows, 2*likely+100))
		until, err := b.store.FindExcess(ctx, r.ID, head.First, excess, most)
		if err != nil {
			return 0, err
		}
		cut = max(cut, until)
	}
	return min(cut, head.First+trimRows), nil
}

// firstSince returns the offset of the first message that was stored at or after t, the next offset if there is
// none.
func (b *Broker) firstSince(ctx context.Context, head Head, t time.Time) (Offset, error) {
	if head.LastAppend.Before(t) {
		return head.Next, nil
	}
	at, err := b.store.FindTime(ctx, head.ID, t)
	if errors.Is(err, ErrTopicNotFound) {
		return head.First, nil
	}
	return at, err
}

// trimmed takes note of a first offset that was moved here: what is in memory below it is not answered any
// more, and the rows can go.
func (b *Broker) trimmed(head Head) {
	if t := b.topics.entries([]TopicName{head.Name})[head.Name]; t != nil && t.id == head.ID {
		t.floor(head)
	}
	b.sweepSoon()
}
