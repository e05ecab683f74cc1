package service

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"
)

// Token is what is kept of a token. The secret itself is shown once, when it is made, and is kept
// nowhere: a copy of the database opens no broker.
type Token struct {
	// ID is the public part of the text, by which it is found, listed and revoked.
	ID string
	// Name is for people. Several tokens may have the same one, so that one can follow another.
	Name string
	// Hash is SHA-256 of the whole text. It need not be a slow one: nobody can try 2^256 texts.
	Hash   [sha256.Size]byte
	Scopes []Scope
	// ExpiresAt and RevokedAt are zero for never.
	CreatedAt, ExpiresAt, RevokedAt time.Time
	Quota                           TokenQuota
}

// The text of a token is
//
//	tpq_ID_SECRETCHECK
//
// in the letters A–Z and digits 2–7 of base32: 16 of the id, 52 of a secret of 32 random bytes, and 7 of
// CRC-32 (IEEE) over all before them. The prefix lets programs that look for leaked secrets find it, and
// the check tells a mistyped one without a look into the database.
const (
	tokenPrefix = "tpq_"
	idLetters   = 16
	idBytes     = 10
	secretBytes = 32
	sumLetters  = 7
	idEnd       = len(tokenPrefix) + idLetters
	sumStart    = idEnd + 1 + 52
	tokenLength = sumStart + sumLetters
)

// Limits of tokens.
const (
	// MaxTokens is how many a store keeps, those counted that were revoked or have expired of late.
	MaxTokens = 10_000
	// MaxScopes is how many scopes one has.
	MaxScopes = 32
	// MaxTokenLife bounds how long one is valid that is not valid for ever.
	MaxTokenLife = 100 * 365 * 24 * time.Hour
	// tokenMemory is how long a token is listed after it was revoked or has expired. It goes when the
	// next one is made, so that a store which had tokens once never looks as if it had none.
	tokenMemory = 30 * 24 * time.Hour
)

// NewToken asks for a token.
type NewToken struct {
	Name   string
	Scopes []Scope
	// Life is how long it is valid, 0 for ever.
	Life  time.Duration
	Quota TokenQuota
}

// Check refuses what cannot be made. Errors: invalid_request.
func (n *NewToken) Check() error {
	if err := CheckName("name", n.Name); err != nil {
		return err
	}
	if len(n.Scopes) == 0 || len(n.Scopes) > MaxScopes {
		return Invalid("scopes", "must hold 1 to %d scopes", MaxScopes)
	}
	for _, scope := range n.Scopes {
		if _, _, err := scope.split(); err != nil {
			return err
		}
	}
	if err := n.Quota.check(); err != nil {
		return err
	}
	if n.Life < 0 || n.Life > MaxTokenLife {
		return Invalid("expires_seconds", "must be between 1 and %d", int64(MaxTokenLife.Seconds()))
	}
	return nil
}

// CreateToken makes a token in a store, and returns it with its text, which nobody can learn again.
// After an unknown outcome it may be there; without its text it is of no use, and can be revoked.
// Errors: invalid_request.
func CreateToken(ctx context.Context, store TokenStore, n NewToken, now time.Time, random io.Reader) (Token, string, error) {
	if err := n.Check(); err != nil {
		return Token{}, "", err
	}
	there, err := store.Tokens(ctx)
	if err != nil {
		return Token{}, "", err
	}
	old := now.Add(-tokenMemory)
	if len(there) >= MaxTokens && !slices.ContainsFunc(there, func(t Token) bool { return t.DeadBefore(old) }) {
		return Token{}, "", Invalid("name", "there are %d tokens already: wait 30 days after some were revoked", MaxTokens)
	}
	text, id, err := mintToken(random)
	if err != nil {
		return Token{}, "", ErrInternal.Because(err)
	}
	token := Token{
		ID: id, Name: n.Name, Hash: sha256.Sum256([]byte(text)),
		Scopes:    slices.Compact(slices.Sorted(slices.Values(n.Scopes))),
		CreatedAt: now.UTC().Truncate(time.Microsecond), Quota: n.Quota,
	}
	if n.Life > 0 {
		token.ExpiresAt = token.CreatedAt.Add(n.Life).Truncate(time.Microsecond)
	}
	if err := store.CreateToken(ctx, token, old); err != nil {
		return Token{}, "", err
	}
	return token, text, nil
}

// mintToken makes the text of a token.
func mintToken(random io.Reader) (text, id string, err error) {
	var bytes [idBytes + secretBytes]byte
	if _, err := io.ReadFull(random, bytes[:]); err != nil {
		return "", "", fmt.Errorf("random bytes: %w", err)
	}
	letters := base32.StdEncoding.WithPadding(base32.NoPadding)
	id = letters.EncodeToString(bytes[:idBytes])
	text = tokenPrefix + id + "_" + letters.EncodeToString(bytes[idBytes:])
	sum := tokenSum([]byte(text))
	return text + string(sum[:]), id, nil
}

// tokenSum is the check at the end of a token.
func tokenSum(before []byte) (letters [sumLetters]byte) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	bits := uint64(crc32.ChecksumIEEE(before)) << 3 // 32 bits are 7 letters of 5 bits, filled up
	for i := range letters {
		letters[i] = alphabet[bits>>(30-5*i)&31]
	}
	return letters
}

// LooksLikeToken reports whether a text may be a token or the beginning of one: it must not be quoted.
func LooksLikeToken(text string) bool { return strings.HasPrefix(text, tokenPrefix) }

// parseToken finds the id of a token in its text, and hashes it. It answers false for what has not the
// form of one.
func parseToken(text string) (id string, hash [sha256.Size]byte, ok bool) {
	if len(text) != tokenLength || !LooksLikeToken(text) {
		return "", hash, false
	}
	var bytes [tokenLength]byte // on the stack: a request is not slowed down by the collector
	copy(bytes[:], text)
	return text[len(tokenPrefix):idEnd], sha256.Sum256(bytes[:]), true
}

// wellFormed reports whether the check at the end of a token is right. Only of a token that is not
// known it matters: then it may be a mistyped one, which is not worth a look into the database.
func wellFormed(text string) bool {
	sum := tokenSum([]byte(text[:sumStart]))
	return text[sumStart:] == string(sum[:])
}

// valid reports whether a token can be used at a time.
func (t *Token) valid(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// DeadBefore reports whether a token had been revoked, or had expired, before a time.
func (t *Token) DeadBefore(at time.Time) bool {
	return !t.RevokedAt.IsZero() && t.RevokedAt.Before(at) || !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(at)
}
