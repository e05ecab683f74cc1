package client

import (
	"context"

	"github.com/topiq/topiq/gen/wire"
)

// TopicQuota is how much there may be of a topic. 0 is no quota. What a quota does not allow is refused
// ([ErrRateLimited]), and nothing of it is done.
type TopicQuota struct {
	BytesPerSecond int64 // of messages and headers that each broker takes, repeats included
	StoredBytes    int64 // of messages and headers that are stored; beyond it new ones are refused
	Producers      int64 // how many may be registered
	Consumers      int64 // how many may be registered
}

// QuotaChange changes the quotas of a topic: what is nil stays as it is, and 0 takes a quota away.
type QuotaChange struct {
	BytesPerSecond, StoredBytes, Producers, Consumers *int64
}

// TokenQuota is how much may be done by a token. 0 is no quota. What a token has made counts for as long as it
// is there, and for no other token.
type TokenQuota struct {
	BytesPerSecond   int64 // of messages and headers that each broker takes and gives, together
	Topics           int64 // how many there may be that the token has created
	TopicStoredBytes int64 // the StoredBytes that a topic begins with that the token creates
	Producers        int64 // how many may be registered that the token has registered first
	Consumers        int64 // how many may be registered that the token has registered first
}

// WithQuota gives a new topic quotas.
func WithQuota(quota TopicQuota) TopicOption {
	return topicOption(func(r *wire.CreateTopicRequest) {
		r.Quota = &wire.TopicQuotaChange{
			BytesPerSecond: &quota.BytesPerSecond, StoredBytes: &quota.StoredBytes,
			Producers: &quota.Producers, Consumers: &quota.Consumers,
		}
	})
}

// SetQuota changes the quotas of a topic and answers the topic. What is there already stays, however much it is.
// To repeat it does no harm. Errors: [ErrTopicNotFound]; [ErrInvalidRequest] for quotas that cannot be, and for a
// change of nothing.
func (c *Client) SetQuota(ctx context.Context, topic string, change QuotaChange) (Topic, error) {
	return c.updateTopic(ctx, "set quota", topic, wire.UpdateTopicRequest{Quota: &wire.TopicQuotaChange{
		BytesPerSecond: change.BytesPerSecond, StoredBytes: change.StoredBytes,
		Producers: change.Producers, Consumers: change.Consumers,
	}})
}

func topicQuotaOf(q wire.TopicQuota) TopicQuota {
	return TopicQuota{
		BytesPerSecond: orElse(q.BytesPerSecond, 0), StoredBytes: orElse(q.StoredBytes, 0),
		Producers: orElse(q.Producers, 0), Consumers: orElse(q.Consumers, 0),
	}
}

func tokenQuotaOf(q *wire.TokenQuota) TokenQuota {
	if q == nil {
		return TokenQuota{}
	}
	return TokenQuota{
		BytesPerSecond: orElse(q.BytesPerSecond, 0), Topics: orElse(q.Topics, 0), TopicStoredBytes: orElse(q.TopicStoredBytes, 0),
		Producers: orElse(q.Producers, 0), Consumers: orElse(q.Consumers, 0),
	}
}

// wire is nil where there is no quota.
func (q TokenQuota) wire() *wire.TokenQuota {
	if q == (TokenQuota{}) {
		return nil
	}
	return &wire.TokenQuota{
		BytesPerSecond: &q.BytesPerSecond, Topics: &q.Topics, TopicStoredBytes: &q.TopicStoredBytes,
		Producers: &q.Producers, Consumers: &q.Consumers,
	}
}

// countsUp reports whether a quota is one of a number of things. To wait for room would usually be to wait for
// somebody who deletes some of them.
func countsUp(quota string) bool {
	switch quota {
	case "token_topics", "token_producers", "token_consumers", "topic_producers", "topic_consumers":
		return true
	}
	return false
}
