package client

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// withTokens starts a broker that asks for tokens. It returns one that may do everything, and how to be a client
// with a token.
func withTokens(t *testing.T) (operator string, as func(token string) *Client) {
	t.Helper()
	b := apitest.Serve(t, apitest.HTTP(api.Config{Authenticate: true}))
	_, operator, err := b.Broker.CreateToken(t.Context(), service.NewToken{Name: "operator", Scopes: []service.Scope{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	return operator, func(token string) *Client {
		t.Helper()
		c, err := New(b.URL, WithToken(token))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// TestTokens makes, lists, uses and revokes tokens by a broker that asks for them.
func TestTokens(t *testing.T) {
	t.Parallel()
	secret, as := withTokens(t)
	operator := as(secret)
	made, text, err := operator.CreateToken(t.Context(), NewToken{Name: "shop", Scopes: []string{"produce:orders"}, Life: time.Hour})
	if err != nil || made.Name != "shop" || made.ExpiresAt.Sub(made.CreatedAt) != time.Hour || !made.RevokedAt.IsZero() {
		t.Fatalf("created %+v, %v", made, err)
	}
	shop := as(text)
	if err := shop.CreateTopic(t.Context(), "orders"); err != nil {
		t.Errorf("with its scope: %v", err)
	}
	var refused *Error
	if err := shop.CreateTopic(t.Context(), "invoices"); !errors.Is(err, ErrForbidden) || !errors.As(err, &refused) || refused.Required != "produce:invoices" {
		t.Errorf("without its scope: %v", err)
	}
	if err := operator.RevokeToken(t.Context(), made.ID); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if err := operator.RevokeToken(t.Context(), "NONE"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke what is not there: %v", err)
	}
	if err := shop.CreateTopic(t.Context(), "orders"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("after the end: %v", err)
	}
	list, err := operator.ListTokens(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("list: %v, %v", list, err)
	}
	for _, token := range list {
		if revoked := !token.RevokedAt.IsZero(); revoked != (token.ID == made.ID) {
			t.Errorf("listed: %+v", token)
		}
	}
	for name, n := range map[string]NewToken{"half a second": {Name: "n", Scopes: []string{"admin"}, Life: time.Second / 2}, "no scope": {Name: "n"}} {
		if _, _, err := operator.CreateToken(t.Context(), n); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("http://broker.test", WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}), WithHTTPClient(&http.Client{})); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("two ways to trust: %v", err)
	}
}
