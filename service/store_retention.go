package service

import (
	"context"
	"time"
)

// RetentionStore keeps what is to be kept, and lets go of the rest.
type RetentionStore interface {
	// Retention reads what is kept of a topic, the zero Retention where nothing was set.
	Retention(ctx context.Context, topic TopicID) (Retention, error)
	// SetRetention changes what is kept of a topic, under the lock of its head, and returns it with the
	// head. To be called again with the same change does no harm. ErrTopicNotFound.
	SetRetention(ctx context.Context, topic TopicName, change RetentionChange) (Head, Retention, error)
	// ListRetained lists the topics whose Retention is not zero, by (bucket, id), after after (0 = from the
	// first), at most limit.
	ListRetained(ctx context.Context, after TopicID, limit int) ([]Retained, error)
	// FindExcess returns the lowest offset that leaves at least bytes between itself and from, which must be
	// the first offset of the topic, but at most limit messages: how far to trim to be rid of them. It
	// may look at limit messages for that. Where from is not the first offset any more it returns from.
	FindExcess(ctx context.Context, topic TopicID, from Offset, bytes int64, limit int) (Offset, error)

	// Touch notes that anonymous producers, and consumers, were used at a time. It never takes back what was
	// noted, and ignores those that are gone, and producers with a name.
	Touch(ctx context.Context, producers []ProducerID, consumers []ConsumerID, at time.Time) error
	// ForgetUnused removes anonymous producers and consumers that were not used since a time, at most about
	// limit. It returns how many; 0 means that none is left. A name is never forgotten.
	ForgetUnused(ctx context.Context, since time.Time, limit int) (int, error)
}

// Retained is a topic with what is kept of it.
type Retained struct {
	ID   TopicID
	Name TopicName
	Retention
}

// SetRetention implements Store.
func (s *recognizing) SetRetention(
	ctx context.Context, topic TopicName, change RetentionChange,
) (Head, Retention, error) {
	return own2(ctx, s, func() (Head, Retention, error) { return s.Store.SetRetention(ctx, topic, change) })
}
