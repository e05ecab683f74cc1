package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// TopicName implements service.TopicStore.
func (s *Store) TopicName(ctx context.Context, topic service.TopicID) (service.TopicName, error) {
	head, err := get(ctx, s.read, topic)
	return head.Name, s.failed(err)
}

// tokenBucket is where the row of a token is: the id is spread like the name of a topic.
func tokenBucket(id string) int64 { return int64(service.BucketOf(service.TopicName(id))) }

// CreateToken implements service.TokenStore.
func (s *Store) CreateToken(ctx context.Context, token service.Token, forget time.Time) error {
	scopes, err := json.Marshal(token.Scopes)
	if err != nil {
		return contradiction("token %s: scopes: %w", token.ID, err)
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		if _, err := tx.ForgetTokens(ctx, micros(forget)); err != nil {
			return err
		}
		return affected(tx.InsertToken(ctx, litesql.InsertTokenParams{
			Bucket: tokenBucket(token.ID), TokenID: token.ID, Name: token.Name, Hash: token.Hash[:], Scopes: string(scopes),
			CreatedAt: micros(token.CreatedAt), ExpiresAt: micros(token.ExpiresAt),
			QuotaRate: token.Quota.BytesPerSecond, QuotaTopics: token.Quota.Topics,
			QuotaTopicBytes: token.Quota.TopicStoredBytes, QuotaProducers: token.Quota.Producers,
			QuotaConsumers: token.Quota.Consumers,
		}))
	})
}

// Tokens implements service.TokenStore.
func (s *Store) Tokens(ctx context.Context) ([]service.Token, error) {
	rows, err := s.read.ListTokens(ctx)
	if err != nil {
		return nil, s.failed(err)
	}
	tokens, err := all(rows, tokenOf)
	slices.SortFunc(tokens, func(a, b service.Token) int { return strings.Compare(a.ID, b.ID) })
	return tokens, err
}

func tokenOf(row litesql.ListTokensRow) (service.Token, error) {
	t := service.Token{
		ID: row.TokenID, Name: row.Name, CreatedAt: timeOf(row.CreatedAt),
		ExpiresAt: timeOf(row.ExpiresAt), RevokedAt: timeOf(row.RevokedAt),
		Quota: service.TokenQuota{
			BytesPerSecond: row.QuotaRate, Topics: row.QuotaTopics, TopicStoredBytes: row.QuotaTopicBytes,
			Producers: row.QuotaProducers, Consumers: row.QuotaConsumers,
		},
	}
	if len(row.Hash) != len(t.Hash) {
		return service.Token{}, contradiction("token %s: the hash has %d bytes", t.ID, len(row.Hash))
	}
	copy(t.Hash[:], row.Hash)
	if err := json.Unmarshal([]byte(row.Scopes), &t.Scopes); err != nil {
		return service.Token{}, contradiction("token %s: scopes: %w", t.ID, err)
	}
	return t, nil
}

// RevokeToken implements service.TokenStore.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time) (found bool, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		rows, err := tx.RevokeToken(ctx, litesql.RevokeTokenParams{
			Bucket: tokenBucket(id), TokenID: id, RevokedAt: micros(at),
		})
		found = rows > 0
		if err == nil && !found {
			err = errUnchanged
		}
		return err
	})
	return found && err == nil, err
}
