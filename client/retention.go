package client

import (
	"context"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// Retention is what is kept of a topic. The zero value keeps everything. Where several limits are set, a message
// goes when one of them says so.
type Retention struct {
	MaxAge      time.Duration // messages older than this go; 0 is no limit
	MaxBytes    int64         // the oldest messages go while there are more bytes than this; 0 is no limit
	MaxMessages int64         // the oldest messages go while there are more than this; 0 is no limit
	// KeepFor are names of consumers: no message goes before all of them have read it, and none at all
	// while one of them is not registered.
	KeepFor []string
}

// RetentionChange changes what is kept of a topic: what is nil stays as it is.
type RetentionChange struct {
	MaxAge      *time.Duration // in whole seconds, rounded up; 0 takes the limit away
	MaxBytes    *int64         // 0 takes the limit away
	MaxMessages *int64         // 0 takes the limit away
	KeepFor     []string       // empty but not nil takes all names away
}

// TopicOption configures a topic that [Client.CreateTopic] creates.
type TopicOption interface {
	applyTopic(r *wire.CreateTopicRequest)
}

type topicOption func(*wire.CreateTopicRequest)

func (o topicOption) applyTopic(r *wire.CreateTopicRequest) { o(r) }

// WithRetention makes a new topic keep what is said, in place of everything.
func WithRetention(kept Retention) TopicOption {
	return topicOption(func(r *wire.CreateTopicRequest) {
		change := RetentionChange{
			MaxAge: &kept.MaxAge, MaxBytes: &kept.MaxBytes, MaxMessages: &kept.MaxMessages, KeepFor: kept.KeepFor,
		}
		wire := change.wire()
		r.Retention = &wire
	})
}

// SetRetention changes what is kept of a topic and answers the topic. What need not be kept any more goes some
// seconds later, and does not come back. To repeat it does no harm. Errors: [ErrTopicNotFound];
// [ErrInvalidRequest] for limits and names that cannot be, and for a change of nothing.
func (c *Client) SetRetention(ctx context.Context, topic string, change RetentionChange) (Topic, error) {
	kept := change.wire()
	return c.updateTopic(ctx, "set retention", topic, wire.UpdateTopicRequest{Retention: &kept})
}

func (c *Client) updateTopic(ctx context.Context, name, topic string, body wire.UpdateTopicRequest) (Topic, error) {
	if err := checkName("topic", topic); err != nil {
		return Topic{}, err
	}
	r, err := retry(ctx, c, true, func(ctx context.Context) (*wire.TopicResult, error) {
		return exchange(ctx, c, operation{name: name, changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.UpdateTopic(ctx, topic, body) },
			func(r *wire.TopicResult) error { return answered(r.Status) })
	})
	if err != nil {
		return Topic{}, err
	}
	return topicOf(r), nil
}

func (c *RetentionChange) wire() wire.RetentionChange {
	body := wire.RetentionChange{MaxBytes: c.MaxBytes, MaxMessages: c.MaxMessages}
	if c.MaxAge != nil {
		seconds := int64((*c.MaxAge + time.Second - 1) / time.Second)
		body.MaxAgeSeconds = &seconds
	}
	if c.KeepFor != nil {
		body.KeepFor = &c.KeepFor
	}
	return body
}

func retentionOf(r wire.Retention) Retention {
	kept := Retention{
		MaxAge:   time.Duration(min(orElse(r.MaxAgeSeconds, 0), maxSeconds)) * time.Second,
		MaxBytes: orElse(r.MaxBytes, 0), MaxMessages: orElse(r.MaxMessages, 0),
	}
	if r.KeepFor != nil {
		kept.KeepFor = *r.KeepFor
	}
	return kept
}

// maxSeconds is the longest time that a time.Duration holds, in seconds.
const maxSeconds = int64(1<<63-1) / int64(time.Second)
