package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/service"
)

// tokensFlags say where tokens are kept: in the store of a broker that is asked, or in one that is
// opened.
type tokensFlags struct {
	connection
	Store            string `env:"-" placeholder:"URL" help:"Open this store itself, in place of asking a broker: sqlite:FILE, which no broker may have open, or postgres://USER@HOST/DATABASE."`
	UnsafeDurability bool   `group:"postgres" help:"Accept a server whose settings may lose messages that were acknowledged."`
}

// tokenKeeper is where tokens are kept.
type tokenKeeper interface {
	create(ctx context.Context, n client.NewToken) (client.Token, string, error)
	list(ctx context.Context) ([]client.Token, error)
	revoke(ctx context.Context, id string) (found bool, err error)
}

// with calls a function with what keeps the tokens. mayBegin allows a store that is not there yet:
// the first token may come before the first broker.
func (f tokensFlags) with(ctx context.Context, s streams, mayBegin bool, call func(context.Context, tokenKeeper) error) error {
	if f.Store == "" {
		return f.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
			return call(ctx, brokerTokens{broker})
		})
	}
	store := storeFlags{Store: f.Store, UnsafeDurability: f.UnsafeDurability}
	keep := func(ctx context.Context, store service.Store) error { return call(ctx, storeTokens{store}) }
	if mayBegin {
		return store.begin(ctx, s, keep)
	}
	return store.do(ctx, s, keep)
}

// brokerTokens asks a broker.
type brokerTokens struct{ broker *client.Client }

func (b brokerTokens) create(ctx context.Context, n client.NewToken) (client.Token, string, error) {
	return b.broker.CreateToken(ctx, n)
}

func (b brokerTokens) list(ctx context.Context) ([]client.Token, error) {
	return b.broker.ListTokens(ctx)
}

func (b brokerTokens) revoke(ctx context.Context, id string) (bool, error) {
	err := b.broker.RevokeToken(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// storeTokens works on an open store.
type storeTokens struct{ store service.Store }

func (k storeTokens) create(ctx context.Context, n client.NewToken) (client.Token, string, error) {
	request := service.NewToken{Name: n.Name, Life: n.Life, Quota: service.TokenQuota(n.Quota)}
	for _, scope := range n.Scopes {
		request.Scopes = append(request.Scopes, service.Scope(scope))
	}
	token, text, err := service.CreateToken(ctx, k.store, request, time.Now(), rand.Reader)
	if errors.Is(err, service.ErrInvalidRequest) {
		err = &usageError{err}
	}
	return tokenForPeople(&token), text, err
}

func (k storeTokens) list(ctx context.Context) ([]client.Token, error) {
	tokens, err := k.store.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	list := make([]client.Token, len(tokens))
	for i := range tokens {
		list[i] = tokenForPeople(&tokens[i])
	}
	return list, nil
}

func (k storeTokens) revoke(ctx context.Context, id string) (bool, error) {
	return k.store.RevokeToken(ctx, id, time.Now())
}

func tokenForPeople(t *service.Token) client.Token {
	found := client.Token{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, RevokedAt: t.RevokedAt, Quota: client.TokenQuota(t.Quota)}
	for _, scope := range t.Scopes {
		found.Scopes = append(found.Scopes, string(scope))
	}
	return found
}
