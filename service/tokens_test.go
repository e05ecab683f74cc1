package service_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestTokenText: a token is what docs and scanners expect, and no letter of it can be another.
func TestTokenText(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	random := rand.NewChaCha8([32]byte{1})
	b := open(t, store, service.Config{Secrets: random})
	token, text, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin", "admin"}})
	wantErr(t, "create", err, nil)
	if !regexp.MustCompile(`^tpq_`+token.ID+`_[A-Z2-7]{59}$`).MatchString(text) || len(token.ID) != 16 {
		t.Fatalf("the text of token %s is %s", token.ID, text)
	}
	want(t, "scopes", token.Scopes, []service.Scope{"admin"})
	grant, err := b.Authenticate(t.Context(), text)
	if err != nil || grant == nil || grant.TokenID != token.ID {
		t.Errorf("the token itself: %v, %v", grant, err)
	}
	for i := range text {
		changed := []byte(text)
		changed[i] ^= 1
		if grant, err := b.Authenticate(t.Context(), string(changed)); err != nil || grant != nil {
			t.Errorf("with another letter at %d: %v, %v", i, grant, err)
		}
	}
	kept, err := store.Tokens(t.Context())
	wantErr(t, "tokens", err, nil)
	if strings.Contains(fmt.Sprintf("%v %x", kept, kept), text[len("tpq_")+17:]) {
		t.Error("the store has the secret")
	}
	_, second, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}})
	wantErr(t, "a second of the same name", err, nil)
	for _, text := range []string{text, second} {
		if grant, err := b.Authenticate(t.Context(), text); err != nil || grant == nil {
			t.Errorf("one of two: %v, %v", grant, err)
		}
	}
}

// TestScopes: what scopes are, and what they allow.
func TestScopes(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(memory.Config{}), service.Config{})
	grant := func(scopes ...service.Scope) *service.Grant {
		t.Helper()
		_, text, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: scopes})
		wantErr(t, "create", err, nil)
		g, err := b.Authenticate(t.Context(), text)
		if err != nil || g == nil {
			t.Fatalf("%v: %v, %v", scopes, g, err)
		}
		return g
	}
	const produce, consume, admin = service.RightProduce, service.RightConsume, service.RightAdmin
	for _, c := range []struct {
		scope service.Scope
		right service.Right
		topic service.TopicName
		want  bool
	}{
		{"produce:a", produce, "a", true},
		{"produce:a", produce, "ab", false},
		{"produce:a", produce, "A", false},
		{"produce:a", consume, "a", false},
		{"produce:a", admin, "a", false},
		{"produce:a", produce, "", false},
		{"produce:a*", produce, "a", true},
		{"produce:a*", produce, "ab", true},
		{"produce:a*", produce, "b", false},
		{"produce:*", produce, "x", true},
		{"produce:*", consume, "x", false},
		{"produce:*", admin, "x", false},
		{"consume:a.*", consume, "a.b", true},
		{"consume:a.*", consume, "a", false},
		{"consume:a.*", consume, "ab", false},
		{"admin", produce, "x", true},
		{"admin", consume, "x", true},
		{"admin", admin, "", true},
	} {
		if got := grant(c.scope).May(c.right, c.topic); got != c.want {
			t.Errorf("%s: may %s on %q: %t", c.scope, c.right, c.topic, got)
		}
	}
	both := grant("produce:a", "consume:b*")
	if !both.May(produce, "a") || !both.May(consume, "bb") || both.May(produce, "bb") || both.MayEverywhere(consume) || !both.MaySomewhere(consume) {
		t.Error("two scopes are more or less than both")
	}
	for _, scope := range []service.Scope{
		"", "*", "produce", "produce:", "consume:", "admin:", "admin:*", "admin:a", "Admin", "delete:a", "produce:a b", "produce:a/b", "produce:**",
		"produce:*a", "produce:a*b", "produce: a", " admin", "produce:..", "produce:" + service.Scope(strings.Repeat("a", 129)),
		"produce:" + service.Scope(strings.Repeat("a", 129)) + "*", "produce:é",
	} {
		_, _, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{scope}})
		wantErr(t, fmt.Sprintf("scope %q", scope), err, service.ErrInvalidRequest)
	}
	for name, n := range map[string]service.NewToken{
		"no scope": {Name: "n"}, "no name": {Scopes: []service.Scope{"admin"}}, "a bad name": {Name: "a b", Scopes: []service.Scope{"admin"}},
		"a negative life":     {Name: "n", Scopes: []service.Scope{"admin"}, Life: -1},
		"an endless life":     {Name: "n", Scopes: []service.Scope{"admin"}, Life: service.MaxTokenLife + 1},
		"more scopes than 32": {Name: "n", Scopes: make([]service.Scope, 33)},
	} {
		_, _, err := b.CreateToken(t.Context(), n)
		wantErr(t, name, err, service.ErrInvalidRequest)
	}
}

// counted counts the reads of tokens, and can make them fail.
func counted(inner service.Store, reads *atomic.Int64, failing *atomic.Bool) service.Store {
	return &dbtest.Faulty{Store: inner, Before: func(method string) error {
		if method != "Tokens" {
			return nil
		}
		reads.Add(1)
		if failing.Load() {
			return errors.New("no connection")
		}
		return nil
	}}
}

// TestTokensAreRead: how soon a broker learns of what another one did to a token, and how rarely it
// looks.
func TestTokensAreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var failing atomic.Bool
		store := memory.New(memory.Config{})
		here := open(t, shared{counted(store, &reads, &failing)}, service.Config{})
		there := open(t, shared{store}, service.Config{})
		valid := func(text string) string {
			g, err := here.Authenticate(t.Context(), text)
			switch {
			case errors.Is(err, service.ErrUnavailable):
				return "unavailable"
			case err != nil:
				t.Fatal(err)
			case g == nil:
				return "no"
			}
			return "yes"
		}
		one, first, err := there.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}, Life: time.Hour})
		wantErr(t, "create", err, nil)
		for range 1000 {
			want(t, "a token made at the other broker", valid(first), "yes")
		}
		want(t, "reads", reads.Load(), 1)

		_, second, err := there.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}})
		wantErr(t, "create", err, nil)
		want(t, "at once", valid(second), "no")
		<-time.After(time.Second)
		want(t, "after a second", valid(second), "yes")
		want(t, "reads", reads.Load(), 2)

		// Whoever makes tokens up costs a read a second, however many he tries.
		for i := range 10_000 {
			_ = valid(second[:len(second)-1] + string(rune('A'+i%26))) // one of them is right
		}
		want(t, "reads after mistyped tokens", reads.Load(), 2)
		stranger := memory.New(memory.Config{})
		_, unknown, err := open(t, shared{stranger}, service.Config{}).CreateToken(t.Context(),
			service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}})
		wantErr(t, "create elsewhere", err, nil)
		for range 5 {
			for range 1000 {
				want(t, "a token of another store", valid(unknown), "no")
			}
			<-time.After(time.Second)
		}
		if n := reads.Load(); n > 2+6 {
			t.Errorf("%d reads in five seconds", n)
		}

		found, err := there.RevokeToken(t.Context(), one.ID)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		<-time.After(2 * time.Second)
		want(t, "a revoked token after the next look", valid(first), "no")

		// Without the store what is known holds for ten seconds, and no longer.
		failing.Store(true)
		<-time.After(3 * time.Second)
		want(t, "without the store", valid(second), "yes")
		<-time.After(8 * time.Second)
		want(t, "without the store for long", valid(second), "unavailable")
		before := reads.Load()
		for range 100 {
			want(t, "again", valid(second), "unavailable")
		}
		want(t, "reads while it fails", reads.Load(), before)
		failing.Store(false)
		<-time.After(time.Second)
		want(t, "with the store", valid(second), "yes")

		// At the broker that revokes it is over at once.
		two, err := store.Tokens(t.Context())
		wantErr(t, "tokens", err, nil)
		for _, token := range two {
			_, err := here.RevokeToken(t.Context(), token.ID)
			wantErr(t, "revoke", err, nil)
		}
		want(t, "revoked here", valid(second), "no")
		left, err := store.Tokens(t.Context())
		if err != nil || len(left) == 0 {
			t.Errorf("a store whose last token was revoked looks as if it had had none: %v", err)
		}
	})
}

// hanging lets the reads of tokens wait for as long as they may.
func hanging(inner service.Store, hangs *atomic.Bool) service.Store {
	return &dbtest.Faulty{Store: inner, Before: func(method string) error {
		if method == "Tokens" && hangs.Load() {
			<-time.After(tokensTimeout)
			return context.DeadlineExceeded
		}
		return nil
	}}
}

// tokensTimeout is the one of the service.
const tokensTimeout = 5 * time.Second

// TestTokensOfAStoreThatHangs: the time for which the store lets a request wait counts. When it gives up, what
// was known before may be too old to go by.
func TestTokensOfAStoreThatHangs(t *testing.T) {
	t.Parallel()
	for age, granted := range map[time.Duration]bool{4 * time.Second: true, 6 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			var hangs atomic.Bool
			b := open(t, shared{hanging(memory.New(memory.Config{}), &hangs)}, service.Config{})
			_, text, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}})
			wantErr(t, "create", err, nil)
			hangs.Store(true)
			<-time.After(age)
			grant, err := b.Authenticate(t.Context(), text)
			if granted != (grant != nil) || granted == errors.Is(err, service.ErrUnavailable) {
				t.Errorf("%s after the last look, and %s of waiting: %v, %v", age, tokensTimeout, grant, err)
			}
		})
	}
}

// TestTokensHold: what goes on for long learns within ten seconds that its token has been revoked, and that
// nobody can say so any more; asking costs as little as requests do.
func TestTokensHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var failing atomic.Bool
		store := memory.New(memory.Config{})
		here := open(t, shared{counted(store, &reads, &failing)}, service.Config{})
		there := open(t, shared{store}, service.Config{})
		token, text, err := there.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}})
		wantErr(t, "create", err, nil)
		grant, err := here.Authenticate(t.Context(), text)
		if err != nil || grant == nil {
			t.Fatal(grant, err)
		}
		holds := func(title string, valid bool, wrong error) {
			t.Helper()
			got, err := here.Holds(t.Context(), grant)
			wantErr(t, title, err, wrong)
			want(t, title, got, valid)
		}
		for range 10 {
			for range 1000 {
				holds("at first", true, nil)
			}
			<-time.After(time.Second)
		}
		if n := reads.Load(); n > 6 {
			t.Errorf("%d reads in ten seconds", n)
		}
		holds("still", true, nil)
		failing.Store(true)
		<-time.After(5 * time.Second)
		holds("while the store does not answer", true, nil)
		<-time.After(3 * time.Second)
		holds("before ten seconds are over at the next time", false, service.ErrUnavailable)
		failing.Store(false)
		<-time.After(time.Second)
		holds("with the store", true, nil)
		_, err = there.RevokeToken(t.Context(), token.ID)
		wantErr(t, "revoke", err, nil)
		<-time.After(2*time.Second + 1)
		holds("after it was revoked", false, nil)
	})
}

// TestTokensEnd: a token is valid up to its end, and is forgotten long after it.
func TestTokensEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		b := open(t, shared{store}, service.Config{})
		create := func(life time.Duration) string {
			_, text, err := b.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}, Life: life})
			wantErr(t, "create", err, nil)
			return text
		}
		text := create(time.Minute)
		for _, c := range []struct {
			wait time.Duration
			want bool
		}{{0, true}, {59 * time.Second, true}, {time.Second, false}, {time.Hour, false}} {
			<-time.After(c.wait)
			grant, err := b.Authenticate(t.Context(), text)
			if err != nil || (grant != nil) != c.want {
				t.Errorf("after %s more: %v, %v", c.wait, grant, err)
			}
		}
		list := func() int {
			all, _, err := b.ListTokens(context.Background(), "", nil)
			wantErr(t, "list", err, nil)
			return len(all)
		}
		create(0)
		want(t, "tokens after a day", list(), 2)
		<-time.After(31 * 24 * time.Hour)
		want(t, "tokens after a month", list(), 2)
		create(0)
		want(t, "tokens after the next", list(), 2)
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	defer func() { _ = broker.Close(context.Background()) }()
	_, text, err := broker.CreateToken(b.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"produce:orders.*"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		grant, err := broker.Authenticate(b.Context(), text)
		if err != nil || grant == nil || !grant.May(service.RightProduce, "orders.eu") {
			b.Fatal(err)
		}
	}
}
