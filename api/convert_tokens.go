package api

import (
	"time"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// What convert.go is, for tokens.

func newToken(b *wire.CreateTokenRequest) (service.NewToken, error) {
	n := service.NewToken{Name: b.Name, Quota: newTokenQuota(b.Quota)}
	for _, scope := range b.Scopes {
		n.Scopes = append(n.Scopes, service.Scope(scope))
	}
	if b.ExpiresSeconds != nil {
		if *b.ExpiresSeconds < 1 || *b.ExpiresSeconds > int64(service.MaxTokenLife/time.Second) {
			return n, service.Invalid("expires_seconds", "must be between 1 and %d", int64(service.MaxTokenLife/time.Second))
		}
		n.Life = time.Duration(*b.ExpiresSeconds) * time.Second
	}
	return n, nil
}

func createTokenResult(t *service.Token, text string) wire.CreateTokenResult {
	e := tokenEntry(t)
	return wire.CreateTokenResult{
		Status: wire.SuccessStatusSuccess, TokenID: e.TokenID, Name: e.Name, Scopes: e.Scopes,
		CreatedAt: e.CreatedAt, ExpiresAt: e.ExpiresAt, Quota: e.Quota, Token: text,
	}
}

func tokenEntry(t *service.Token) wire.TokenEntry {
	e := wire.TokenEntry{
		TokenID: t.ID, Name: t.Name, Scopes: make([]string, len(t.Scopes)), CreatedAt: t.CreatedAt.UTC(),
		ExpiresAt: optional(t.ExpiresAt.UTC()), RevokedAt: optional(t.RevokedAt.UTC()),
		Quota: tokenQuota(&t.Quota),
	}
	for i, scope := range t.Scopes {
		e.Scopes[i] = string(scope)
	}
	return e
}

func listTokensResult(list []service.Token, next string) wire.ListTokensResult {
	r := wire.ListTokensResult{Status: wire.SuccessStatusSuccess, Tokens: make([]wire.TokenEntry, len(list)), Next: optional(next)}
	for i := range list {
		r.Tokens[i] = tokenEntry(&list[i])
	}
	return r
}

func revokeTokenResult(id wire.TokenID) wire.RevokeTokenResult {
	return wire.RevokeTokenResult{Status: wire.SuccessStatusSuccess, TokenID: id}
}
