package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// Token is what the broker says about a token. Its text is not part of it: nobody knows that but who made it.
type Token struct {
	ID     string // the public part of the text
	Name   string // for people; several tokens may have the same one
	Scopes []string
	// ExpiresAt and RevokedAt are zero for never.
	CreatedAt, ExpiresAt, RevokedAt time.Time
	Quota                           TokenQuota
}

// NewToken asks for a token.
type NewToken struct {
	Name string
	// Scopes are what it allows: "produce:PATTERN", "consume:PATTERN" or "admin". A pattern is the name of
	// a topic, or the beginning of names with * behind it.
	Scopes []string
	// Life is how long it is valid, in whole seconds; 0 is until it is revoked.
	Life time.Duration
	// Quota never changes: another token can have another.
	Quota TokenQuota
}

// CreateToken makes a token, and returns it with its text, which is never shown again. It needs the scope
// admin, where the broker asks for tokens. Errors: [ErrInvalidRequest]; [ErrOutcomeUnknown] if the answer was
// lost: then there may be a token whose text nobody knows, to be revoked.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (Token, string, error) {
	if n.Life < 0 || n.Life%time.Second != 0 {
		return Token{}, "", invalid("Life", "%s is not a number of seconds", n.Life)
	}
	request := wire.CreateTokenRequest{Name: n.Name, Scopes: n.Scopes, Quota: n.Quota.wire()}
	if n.Life > 0 {
		seconds := int64(n.Life / time.Second)
		request.ExpiresSeconds = &seconds
	}
	r, err := retry(ctx, c, false, func(ctx context.Context) (*wire.CreateTokenResult, error) {
		return exchange(ctx, c, operation{name: "create token", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.CreateToken(ctx, request) },
			func(r *wire.CreateTokenResult) error {
				if r.Token == "" {
					return errors.New("the answer has no token")
				}
				return answered(r.Status)
			})
	})
	if err != nil {
		return Token{}, "", err
	}
	return tokenOf(&wire.TokenEntry{
		TokenID: r.TokenID, Name: r.Name, Scopes: r.Scopes, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, Quota: r.Quota,
	}), r.Token, nil
}

// ListTokens answers all tokens, sorted by id, also those that were revoked or have expired within the last
// 30 days or longer.
func (c *Client) ListTokens(ctx context.Context) ([]Token, error) {
	var all []Token
	limit := int64(1000)
	for after := (*wire.TokenID)(nil); ; {
		params := wire.ListTokensParams{After: after, Limit: &limit}
		r, err := read(ctx, c, "list tokens",
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.ListTokens(ctx, &params) },
			func(r *wire.ListTokensResult) error { return answered(r.Status) })
		if err != nil {
			return nil, err
		}
		for i := range r.Tokens {
			all = append(all, tokenOf(&r.Tokens[i]))
		}
		if r.Next == nil || len(r.Tokens) == 0 {
			return all, nil
		}
		after = r.Next
	}
}

// RevokeToken ends a token. To revoke it again changes nothing. Errors: [ErrNotFound] if there is none.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	if id == "" {
		return invalid("id", "it is empty")
	}
	_, err := retry(ctx, c, true, func(ctx context.Context) (*wire.RevokeTokenResult, error) {
		return exchange(ctx, c, operation{name: "revoke token", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.RevokeToken(ctx, id) },
			func(r *wire.RevokeTokenResult) error { return answered(r.Status) })
	})
	return err
}

func tokenOf(e *wire.TokenEntry) Token {
	t := Token{ID: e.TokenID, Name: e.Name, Scopes: e.Scopes, CreatedAt: e.CreatedAt, Quota: tokenQuotaOf(e.Quota)}
	if e.ExpiresAt != nil {
		t.ExpiresAt = *e.ExpiresAt
	}
	if e.RevokedAt != nil {
		t.RevokedAt = *e.RevokedAt
	}
	return t
}
