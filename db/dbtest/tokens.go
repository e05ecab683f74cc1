package dbtest

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/topiq/topiq/service"
)

func tokenTests() []test {
	return []test{
		{"TokenIsKeptAsItIs", tokenKept},
		{"TokensAreListedInOrder", tokensInOrder},
		{"RevocationKeepsItsFirstTime", tokenRevoked},
		{"DeadTokensAreForgottenWithTheNext", tokensForgotten},
		{"IdOfATokenIsTakenOnce", tokenTwice},
		{"TokensComeTogether", tokensAtOnce},
		{"TopicNameOfAnId", topicNameOfID},
	}
}

// token is one of this test.
func (k *kit) token(suffix string) service.Token {
	return service.Token{
		ID: k.prefix + suffix, Name: "name-" + suffix, Hash: sha256.Sum256([]byte(suffix)),
		Scopes: []service.Scope{"consume:*", "produce:orders.*"}, CreatedAt: kept(start()),
	}
}

// tokens reads those of this test.
func (k *kit) tokens() []service.Token {
	k.Helper()
	all, err := k.Tokens(k.Context())
	k.ok(err)
	return slices.DeleteFunc(all, func(t service.Token) bool { return !strings.HasPrefix(t.ID, k.prefix) })
}

func tokenKept(k *kit) {
	forever, ending := k.token("a"), k.token("b")
	ending.ExpiresAt = kept(after(time.Hour))
	ending.Scopes = []service.Scope{"admin", `what "no" version \ knows`}
	for _, t := range []service.Token{forever, ending} {
		k.ok(k.CreateToken(k.Context(), t, time.Time{}))
	}
	equal(k, "tokens", k.tokens(), []service.Token{forever, ending})
	for _, t := range k.tokens() {
		if t.CreatedAt.Location() != time.UTC || !t.ExpiresAt.IsZero() && t.ExpiresAt.Location() != time.UTC {
			k.Errorf("%s has a time that is not UTC: %v, %v", t.ID, t.CreatedAt, t.ExpiresAt)
		}
	}
}

func tokensInOrder(k *kit) {
	for _, suffix := range []string{"B", "a", "A", "0", "b"} {
		k.ok(k.CreateToken(k.Context(), k.token(suffix), time.Time{}))
	}
	var ids []string
	for _, t := range k.tokens() {
		ids = append(ids, strings.TrimPrefix(t.ID, k.prefix))
	}
	equal(k, "ids in byte order", ids, []string{"0", "A", "B", "a", "b"})
}

func tokenRevoked(k *kit) {
	token, other := k.token("a"), k.token("b")
	k.ok(k.CreateToken(k.Context(), token, time.Time{}))
	k.ok(k.CreateToken(k.Context(), other, time.Time{}))
	for i := range 3 {
		found, err := k.RevokeToken(k.Context(), token.ID, after(time.Duration(i)*time.Minute))
		k.ok(err)
		equal(k, "found", found, true)
	}
	token.RevokedAt = kept(start())
	equal(k, "tokens", k.tokens(), []service.Token{token, other})
	found, err := k.RevokeToken(k.Context(), k.prefix+"none", start())
	k.ok(err)
	equal(k, "found an id that is not there", found, false)
}

func tokensForgotten(k *kit) {
	k = k.alone()
	expired, revoked, lately, living := k.token("a"), k.token("b"), k.token("c"), k.token("d")
	expired.ExpiresAt, living.ExpiresAt = kept(after(time.Hour)), kept(after(100*time.Hour))
	for _, t := range []service.Token{expired, revoked, lately, living} {
		k.ok(k.CreateToken(k.Context(), t, time.Time{}))
	}
	for token, at := range map[*service.Token]time.Duration{&revoked: 2 * time.Hour, &lately: 3 * time.Hour} {
		_, err := k.RevokeToken(k.Context(), token.ID, after(at))
		k.ok(err)
		token.RevokedAt = kept(after(at))
	}
	next := k.token("e")
	k.ok(k.CreateToken(k.Context(), next, after(3*time.Hour)))
	equal(k, "tokens", k.tokens(), []service.Token{lately, living, next})
}

func tokenTwice(k *kit) {
	token := k.token("a")
	k.ok(k.CreateToken(k.Context(), token, time.Time{}))
	again := token
	again.Hash = sha256.Sum256([]byte("of somebody else"))
	if err := k.CreateToken(k.Context(), again, time.Time{}); !errors.Is(err, service.ErrInternal) {
		k.Errorf("the same id again: %v", err)
	}
	equal(k, "tokens", k.tokens(), []service.Token{token})
}

func tokensAtOnce(k *kit) {
	const each = 5
	var all sync.WaitGroup
	for _, creator := range []string{"a", "b", "c"} {
		all.Go(func() {
			for i := range each {
				t := k.token(creator + string(rune('0'+i)))
				if err := k.CreateToken(k.Context(), t, time.Time{}); err != nil {
					k.Errorf("create %s: %v", t.ID, err)
				}
				if found, err := k.RevokeToken(k.Context(), t.ID, start()); err != nil || !found {
					k.Errorf("revoke %s: %t, %v", t.ID, found, err)
				}
			}
		})
	}
	all.Wait()
	list := k.tokens()
	equal(k, "number of tokens", len(list), 3*each)
	for _, t := range list {
		equal(k, "revoked", t.RevokedAt, kept(start()))
	}
}

func topicNameOfID(k *kit) {
	head := k.topic("a")
	name, err := k.TopicName(k.Context(), head.ID)
	k.ok(err)
	equal(k, "name", name, head.Name)
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	_, err = k.TopicName(k.Context(), head.ID)
	k.refused(err, "topic_not_found")
	again := k.topic("a")
	_, err = k.TopicName(k.Context(), head.ID)
	k.refused(err, "topic_not_found")
	name, err = k.TopicName(k.Context(), again.ID)
	k.ok(err)
	equal(k, "name of the next topic of that name", name, head.Name)
}
