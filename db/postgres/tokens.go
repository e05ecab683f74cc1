package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// TopicName implements service.TopicStore.
func (s *Store) TopicName(ctx context.Context, topic service.TopicID) (service.TopicName, error) {
	var row pgsql.GetHeadRow
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		row, err = q.GetHead(ctx, pgsql.GetHeadParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
		if errors.Is(err, pgx.ErrNoRows) {
			err = service.ErrTopicNotFound
		}
		return err
	})
	return service.TopicName(row.Name), err
}

// tokenBucket is where the row of a token is: the id is spread like the name of a topic.
func tokenBucket(id string) int32 { return int32(service.BucketOf(service.TopicName(id))) }

// CreateToken implements service.TokenStore.
func (s *Store) CreateToken(ctx context.Context, token service.Token, forget time.Time) error {
	return s.write(ctx, func(ctx context.Context, u *unit) error {
		return u.run(ctx,
			func(ctx context.Context, q *pgsql.Queries) error {
				_, err := q.ForgetTokens(ctx, stored(forget))
				return err
			},
			exactly(1, "insert a token", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
				scopes := make([]string, len(token.Scopes))
				for i, scope := range token.Scopes {
					scopes[i] = string(scope)
				}
				return q.InsertToken(ctx, pgsql.InsertTokenParams{
					Bucket: tokenBucket(token.ID), TokenID: token.ID, Name: token.Name, Hash: token.Hash[:], Scopes: scopes,
					CreatedAt: stored(token.CreatedAt), ExpiresAt: storedOrNull(token.ExpiresAt),
					QuotaRate: token.Quota.BytesPerSecond, QuotaTopics: token.Quota.Topics,
					QuotaTopicBytes: token.Quota.TopicStoredBytes, QuotaProducers: token.Quota.Producers,
					QuotaConsumers: token.Quota.Consumers,
				})
			}))
	})
}

// Tokens implements service.TokenStore.
func (s *Store) Tokens(ctx context.Context) ([]service.Token, error) {
	var rows []pgsql.ListTokensRow
	err := s.read(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		rows, err = q.ListTokens(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	tokens := make([]service.Token, len(rows))
	for i := range rows {
		row := &rows[i]
		t := &tokens[i]
		t.ID, t.Name, t.CreatedAt = row.TokenID, row.Name, row.CreatedAt.UTC()
		t.ExpiresAt, t.RevokedAt = timeOrZero(row.ExpiresAt), timeOrZero(row.RevokedAt)
		t.Quota = service.TokenQuota{
			BytesPerSecond: row.QuotaRate, Topics: row.QuotaTopics, TopicStoredBytes: row.QuotaTopicBytes,
			Producers: row.QuotaProducers, Consumers: row.QuotaConsumers,
		}
		if len(row.Hash) != len(t.Hash) {
			return nil, service.ErrInternal.Because(fmt.Errorf("token %s: the hash has %d bytes", t.ID, len(row.Hash)))
		}
		copy(t.Hash[:], row.Hash)
		for _, scope := range row.Scopes {
			t.Scopes = append(t.Scopes, service.Scope(scope))
		}
	}
	return tokens, nil
}

// RevokeToken implements service.TokenStore.
func (s *Store) RevokeToken(ctx context.Context, id string, at time.Time) (found bool, err error) {
	err = s.write(ctx, func(ctx context.Context, u *unit) error {
		var rows int64
		err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			rows, err = q.RevokeToken(ctx, pgsql.RevokeTokenParams{
				Bucket: tokenBucket(id), TokenID: id, RevokedAt: stored(at),
			})
			return err
		})
		found = rows > 0
		if err == nil && !found {
			err = errNothingToWrite
		}
		return err
	})
	return found && err == nil, err
}

func storedOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = stored(t)
	return &t
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
