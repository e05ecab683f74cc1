package service

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Authenticate returns what the token with this text allows, nil where it is not a valid one: unknown,
// mistyped, expired or revoked, which nobody is told apart. It usually asks no store: a revocation is
// honoured within ten seconds by every broker, and at once by the one that made it; a new token is
// known to the others within one second (tokenCache). Errors: unavailable.
func (b *Broker) Authenticate(ctx context.Context, text string) (*Grant, error) {
	id, hash, ok := parseToken(text)
	if !ok {
		return nil, nil //nolint:nilnil // no grant is an answer
	}
	return b.tokens.grant(ctx, text, id, hash, b.config.Now())
}

// HoldInterval is how often Holds is to be asked for what a revocation ends within ten seconds.
const HoldInterval = tokensHeld

// Holds reports whether the token of a grant is still valid, for what goes on for longer than a request.
// Errors: unavailable.
func (b *Broker) Holds(ctx context.Context, g *Grant) (bool, error) {
	return b.tokens.holds(ctx, g.TokenID, b.config.Now())
}

// CreateToken makes a token, and returns it with its text, which is kept nowhere. Errors:
// invalid_request.
func (b *Broker) CreateToken(ctx context.Context, n NewToken) (Token, string, error) {
	if err := b.enter(); err != nil {
		return Token{}, "", err
	}
	defer b.leave()
	token, text, err := CreateToken(ctx, b.store, n, b.now(), b.config.Secrets)
	if err != nil {
		return Token{}, "", err
	}
	b.log.InfoContext(ctx, "token created", "token_id", token.ID, "name", token.Name, "scopes", token.Scopes)
	b.tokens.created(ctx)
	return token, text, nil
}

// RevokeToken ends a token. To revoke it again changes nothing. found is false where there is none.
func (b *Broker) RevokeToken(ctx context.Context, id string) (found bool, err error) {
	if err := b.enter(); err != nil {
		return false, err
	}
	defer b.leave()
	found, err = b.store.RevokeToken(ctx, id, b.now())
	if err != nil || !found {
		return false, err
	}
	b.log.InfoContext(ctx, "token revoked", "token_id", id)
	b.tokens.revoked(ctx)
	return true, nil
}

// ListTokens lists tokens by id, after after, at most limit (nil = the default), also those that were
// revoked or have expired within the last 30 days or longer. next is what to send as after for the
// rest, "" when there is none.
func (b *Broker) ListTokens(ctx context.Context, after string, limit *int) (list []Token, next string, err error) {
	n, err := b.limits.page(limit)
	if err != nil {
		return nil, "", err
	}
	all, err := b.loadTokens(ctx)
	if err != nil {
		return nil, "", err
	}
	list = slices.DeleteFunc(all, func(t Token) bool { return t.ID <= after })
	if len(list) > n {
		list = list[:n]
		next = list[n-1].ID
	}
	return list, next, nil
}

// loadTokens reads all tokens, in the order of their ids.
func (b *Broker) loadTokens(ctx context.Context) ([]Token, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	return b.store.Tokens(ctx)
}

// VisibleTopics is ListTopics of those that a token may do anything with, of all where g is nil. No topic of others costs it
// anything, so that it cannot be told from the time that it takes how many there are.
func (b *Broker) VisibleTopics(
	ctx context.Context, g *Grant, prefix string, after TopicName, limit *int,
) (names []TopicName, next TopicName, err error) {
	if g == nil {
		return b.ListTopics(ctx, prefix, after, limit)
	}
	return b.listTopics(ctx, prefix, after, limit, func(ctx context.Context, n int) ([]TopicName, error) {
		var all []TopicName
		for _, p := range g.visible() {
			some, err := b.topicsOf(ctx, p, prefix, after, n)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		return all[:min(n, len(all))], nil
	})
}

// topicsOf lists the topics that match a pattern, and begin with prefix.
func (b *Broker) topicsOf(ctx context.Context, p pattern, prefix string, after TopicName, limit int) ([]TopicName, error) {
	if !p.prefix {
		if !strings.HasPrefix(p.text, prefix) || TopicName(p.text) <= after {
			return nil, nil
		}
		// The name itself is the first of those that begin with it.
		names, err := b.store.ListTopics(ctx, p.text, after, 1)
		if len(names) > 0 && names[0] != TopicName(p.text) {
			names = nil
		}
		return names, err
	}
	switch {
	case strings.HasPrefix(p.text, prefix):
		prefix = p.text
	case !strings.HasPrefix(prefix, p.text):
		return nil, nil
	}
	return b.store.ListTopics(ctx, prefix, after, limit)
}

// TopicOf returns the topic of a consumer. ErrConsumerNotFound.
func (b *Broker) TopicOf(ctx context.Context, id ConsumerID) (TopicName, error) {
	if err := b.enter(); err != nil {
		return "", err
	}
	defer b.leave()
	if err := checkInteger("consumer_id", id, 1); err != nil {
		return "", err
	}
	row, err := b.freshConsumer(ctx, 0, id)
	if errors.Is(err, ErrConsumerNotFound) {
		// A look for a topic that cannot be there: who may not know of a consumer cannot tell either from
		// how long it takes.
		row.Topic = TopicID(NewID(0, BucketOfID(id)))
	} else if err != nil {
		return "", err
	}
	name, err := b.store.TopicName(ctx, row.Topic)
	if errors.Is(err, ErrTopicNotFound) {
		err = ErrConsumerNotFound
	}
	return name, err
}
