package service

import (
	"context"
	"errors"
	"time"
)

// Quota is the name of a quota, as refusals and figures tell it.
type Quota string

// The quotas of tokens and of topics.
const (
	QuotaTokenBytesPerSecond Quota = "token_bytes_per_second"
	QuotaTokenTopics         Quota = "token_topics"
	QuotaTokenProducers      Quota = "token_producers"
	QuotaTokenConsumers      Quota = "token_consumers"
	QuotaTopicBytesPerSecond Quota = "topic_bytes_per_second"
	QuotaTopicStoredBytes    Quota = "topic_stored_bytes"
	QuotaTopicProducers      Quota = "topic_producers"
	QuotaTopicConsumers      Quota = "topic_consumers"
)

// Quotas lists all of them.
func Quotas() []Quota {
	return []Quota{
		QuotaTokenBytesPerSecond, QuotaTokenTopics, QuotaTokenProducers, QuotaTokenConsumers,
		QuotaTopicBytesPerSecond, QuotaTopicStoredBytes, QuotaTopicProducers, QuotaTopicConsumers,
	}
}

// roomAfter is when to try again where nobody knows when there will be room. It is about how often
// retention looks for what may go.
const roomAfter = 10 * time.Second

// errQuota refuses what a quota does not allow. Whatever it was, nothing of it was done.
func errQuota(quota Quota, after time.Duration) *Error {
	return &Error{
		Code: CodeRateLimited, Message: "the quota " + string(quota) + " is used up; nothing was done",
		Facts: Facts{Quota: quota, RetryAfter: after},
	}
}

// CheckRoom refuses one more of what a quota counts, where there is no room. most 0 is any number. Engines call
// it in the transaction that makes the one more, under a lock by which no two of them count at a time.
func CheckRoom(quota Quota, there, most int64) error {
	if most == 0 || there < most {
		return nil
	}
	return errQuota(quota, roomAfter)
}

// TopicQuota is how much there may be of a topic. 0 is no quota.
type TopicQuota struct {
	// BytesPerSecond bounds what each broker takes for the topic (Payload.Size), repeats included.
	BytesPerSecond int64
	// StoredBytes bounds Head.Bytes. Unlike the bound of a Retention, at which the oldest messages go, it
	// refuses new ones.
	StoredBytes int64
	// Producers and Consumers bound how many are registered (CountClients).
	Producers, Consumers int64
}

// QuotaChange changes a TopicQuota: what is nil stays as it is, 0 takes a quota away. What is there already
// stays, however much it is.
type QuotaChange struct {
	BytesPerSecond, StoredBytes, Producers, Consumers *int64
}

// Apply returns a quota as a change leaves it.
func (c *QuotaChange) Apply(q TopicQuota) TopicQuota {
	change(&q.BytesPerSecond, c.BytesPerSecond)
	change(&q.StoredBytes, c.StoredBytes)
	change(&q.Producers, c.Producers)
	change(&q.Consumers, c.Consumers)
	return q
}

// check refuses what cannot be. A change that changes nothing is refused too: it is a mistake.
func (c *QuotaChange) check() error {
	if *c == (QuotaChange{}) {
		return Invalid("quota", "must have at least one of bytes_per_second, stored_bytes, producers and consumers")
	}
	for _, q := range []struct {
		field string
		value *int64
	}{
		{"bytes_per_second", c.BytesPerSecond},
		{"stored_bytes", c.StoredBytes},
		{"producers", c.Producers},
		{"consumers", c.Consumers},
	} {
		if err := checkOptional(q.field, q.value, 0); err != nil {
			return err
		}
	}
	return nil
}

// TokenQuota is how much may be done by a token. 0 is no quota. It never changes: another token can have another.
type TokenQuota struct {
	// BytesPerSecond bounds the messages that each broker takes from its bearers, and gives to them, together
	// (Payload.Size).
	BytesPerSecond int64
	// Topics bounds how many there are that were made by the token, and TopicStoredBytes is the quota
	// StoredBytes that each of them begins with.
	Topics, TopicStoredBytes int64
	// Producers and Consumers bound how many are registered that the token has registered first.
	Producers, Consumers int64
}

func (q *TokenQuota) check() error {
	for _, f := range []struct {
		field string
		value int64
	}{
		{"bytes_per_second", q.BytesPerSecond},
		{"topics", q.Topics},
		{"topic_stored_bytes", q.TopicStoredBytes},
		{"producers", q.Producers},
		{"consumers", q.Consumers},
	} {
		if err := checkInteger(f.field, f.value, 0); err != nil {
			return err
		}
	}
	return nil
}

// Maker is the token that a topic, producer or consumer is made by, where not any number of them may be. It
// is kept with what it makes, which is how that is counted. The zero Maker is everybody else.
type Maker struct {
	TokenID string
	// Topics, Producers and Consumers are those of the TokenQuota.
	Topics, Producers, Consumers int64
}

// Counted reports whether anything is counted.
func (m Maker) Counted() bool { return m.TokenID != "" }

// grantKey is what a context has its grant under.
type grantKey struct{}

// Context returns a context for the calls that a grant is for, by which the quotas of its token are
// kept. Without quotas that is the context itself.
func (g *Grant) Context(ctx context.Context) context.Context {
	if g.quota == (TokenQuota{}) {
		return ctx
	}
	return context.WithValue(ctx, grantKey{}, g)
}

// grantIn returns the grant that a call is made under, nil where it has no quotas.
func grantIn(ctx context.Context) *Grant {
	g, _ := ctx.Value(grantKey{}).(*Grant)
	return g
}

// maker is what is counted of the calls under a grant.
func (g *Grant) maker() Maker {
	if g == nil || g.quota.Topics == 0 && g.quota.Producers == 0 && g.quota.Consumers == 0 {
		return Maker{}
	}
	return Maker{g.TokenID, g.quota.Topics, g.quota.Producers, g.quota.Consumers}
}

// paceOf returns the pace of a grant, nil where there is none.
func (g *Grant) paceOf() *pace {
	if g == nil {
		return nil
	}
	return g.pace
}

// takeBytes lets a request through that brings messages for a topic, or refuses it by the pace of its token or
// that of the topic. It is asked before the store is: a refused request has left nothing behind, and a repeat
// of what is stored already gets its answer when it is let through. What is let through counts, whatever becomes
// of it.
func takeBytes(ctx context.Context, t *topic, size int64) error {
	byToken, byTopic := grantIn(ctx).paceOf(), t.pace.Load()
	if byToken == nil && byTopic == nil {
		return nil
	}
	now := time.Now()
	if wait := byToken.take(now, size); wait > 0 {
		return errQuota(QuotaTokenBytesPerSecond, wait)
	}
	if wait := byTopic.take(now, size); wait > 0 {
		byToken.charge(now, -size)
		return errQuota(QuotaTopicBytesPerSecond, wait)
	}
	return nil
}

// mayGive refuses a call that asks for messages while its token has had too many. How many it gets now is
// not known before they are read: they count when they are given.
func mayGive(ctx context.Context) (*pace, error) {
	p := grantIn(ctx).paceOf()
	if p == nil {
		return nil, nil //nolint:nilnil // most have none
	}
	if wait := p.owed(time.Now()); wait > 0 {
		return nil, errQuota(QuotaTokenBytesPerSecond, wait)
	}
	return p, nil
}

// gave counts messages that were given.
func (p *pace) gave(messages []Message) {
	if p != nil {
		p.charge(time.Now(), messageBytes(messages))
	}
}

// refusedByQuota counts refusals, and returns the error as it is.
func (c *counters) refusedByQuota(err error) error {
	if err == nil || CodeOf(err) != CodeRateLimited {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok && c.quotas[e.Facts.Quota] != nil {
		c.quotas[e.Facts.Quota].Add(1)
	}
	return err
}
