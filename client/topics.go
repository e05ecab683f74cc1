package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// Topic is what the broker says about a topic.
type Topic struct {
	Name string
	// Incarnation changes when the history of the topic may have changed (P13).
	Incarnation string
	CreatedAt   time.Time
	FirstOffset int64 // of the first message still stored; NextOffset if there is none
	NextOffset  int64 // the offset that the next message gets
	Messages    int64 // how many are stored
	Bytes       int64 // of messages and headers
	Retention   Retention
	Quota       TopicQuota
	Producers   int64 // how many are registered
	Consumers   int64 // how many are registered
}

// ListTopics says which part of the list of topics to answer. The zero value means the first topics.
type ListTopics struct {
	Prefix string // only names that begin with it
	After  string // only names after it; the Next of the page before
	Limit  int    // at most so many; 0 means the broker's default of 100
}

// TopicPage is a part of the list of topics.
type TopicPage struct {
	Names []string // sorted by their bytes
	Next  string   // what to send as After; empty at the end of the list
}

// CreateTopic creates an empty topic, which keeps everything without [WithRetention], and has no quotas without [WithQuota]. Errors: [ErrTopicExists] if there is one of this name;
// [ErrInvalidRequest] for a name that cannot be one; [ErrOutcomeUnknown] if the answer was lost: a repeat
// that finds ErrTopicExists may then have met its own first attempt, so it is left to the caller.
func (c *Client) CreateTopic(ctx context.Context, name string, options ...TopicOption) error {
	body := wire.CreateTopicRequest{Name: name}
	for _, option := range options {
		option.applyTopic(&body)
	}
	if err := checkName("name", name); err != nil {
		return err
	}
	_, err := retry(ctx, c, false, func(ctx context.Context) (*wire.CreateTopicResult, error) {
		return exchange(ctx, c, operation{name: "create topic", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.CreateTopic(ctx, body)
			}, func(r *wire.CreateTopicResult) error { return answered(r.Status) })
	})
	return err
}

// DeleteTopic deletes a topic with its messages, producers and consumers. Errors: [ErrTopicNotFound];
// [ErrOutcomeUnknown] if the answer was lost: it is not repeated, for somebody may have created the name
// anew.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	if err := checkName("topic", name); err != nil {
		return err
	}
	_, err := retry(ctx, c, false, func(ctx context.Context) (*wire.DeleteTopicResult, error) {
		return exchange(ctx, c, operation{name: "delete topic", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.DeleteTopic(ctx, name) },
			func(r *wire.DeleteTopicResult) error { return answered(r.Status) })
	})
	return err
}

// DescribeTopic answers the facts of a topic. Errors: [ErrTopicNotFound].
func (c *Client) DescribeTopic(ctx context.Context, name string) (Topic, error) {
	if err := checkName("topic", name); err != nil {
		return Topic{}, err
	}
	r, err := read(ctx, c, "describe topic",
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.DescribeTopic(ctx, name) },
		func(r *wire.TopicResult) error { return answered(r.Status) })
	if err != nil {
		return Topic{}, err
	}
	return topicOf(r), nil
}

func topicOf(r *wire.TopicResult) Topic {
	return Topic{
		Name: r.Topic, Incarnation: r.Incarnation, CreatedAt: r.CreatedAt,
		FirstOffset: r.FirstOffset, NextOffset: r.NextOffset, Messages: r.Messages, Bytes: r.Bytes,
		Retention: retentionOf(r.Retention), Quota: topicQuotaOf(r.Quota), Producers: r.Producers, Consumers: r.Consumers,
	}
}

// ListTopics answers one page of the list of topics. [Client.Topics] goes through all pages.
func (c *Client) ListTopics(ctx context.Context, part ListTopics) (TopicPage, error) {
	params := wire.ListTopicsParams{}
	if part.Prefix != "" {
		params.Prefix = &part.Prefix
	}
	if part.After != "" {
		params.After = &part.After
	}
	if part.Limit != 0 {
		limit := int64(part.Limit)
		params.Limit = &limit
	}
	r, err := read(ctx, c, "list topics",
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.ListTopics(ctx, &params) },
		func(r *wire.ListTopicsResult) error {
			// A page that leads to itself would never end.
			if r.Next != nil && (*r.Next == "" || *r.Next <= part.After) {
				return errors.New("the next page is not after this one")
			}
			return answered(r.Status)
		})
	if err != nil {
		return TopicPage{}, err
	}
	return TopicPage{Names: r.Topics, Next: orEmpty(r.Next)}, nil
}

// Topics goes through the names of all topics that begin with prefix, in the order of their bytes, asking
// the broker page by page. An error ends it. Topics that come and go meanwhile may or may not be seen.
func (c *Client) Topics(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		part := ListTopics{Prefix: prefix}
		for {
			page, err := c.ListTopics(ctx, part)
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range page.Names {
				if !yield(name, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			part.After = page.Next
		}
	}
}

// read makes a call that changes nothing, with retries.
func read[T any](
	ctx context.Context, c *Client, name string,
	send func(context.Context, *broker) (*http.Response, error), check func(*T) error,
) (*T, error) {
	return retry(ctx, c, true, func(ctx context.Context) (*T, error) {
		return exchange(ctx, c, operation{name: name}, send, check)
	})
}
