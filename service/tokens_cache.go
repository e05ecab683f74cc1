package service

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// How old what a broker knows of the tokens may be. They measure what a clock cannot change (P14).
const (
	// tokensFresh: younger than that, nobody looks.
	tokensFresh = 2 * time.Second
	// tokensTrusted: older than that, nothing is granted by it. It bounds how long a token that was
	// revoked at another broker is still honoured here.
	tokensTrusted = 10 * time.Second
	// tokensUnknown: a token that is not known is looked for at most once in so long, whoever sends
	// how many of them. After a failure nobody looks for as long either.
	tokensUnknown = time.Second
	// tokensHeld is how often Holds may be asked by each open stream: so often that the two together stay
	// within tokensTrusted.
	tokensHeld = 4 * time.Second
	// tokensTimeout is how long the store may take.
	tokensTimeout = 5 * time.Second
)

// tokenCache knows all tokens of the store. There are few, so they are read all at once: then a token
// that does not exist costs no read of its own, and a stranger who makes some up cannot make the broker
// ask the database for each of them.
type tokenCache struct {
	load func(context.Context) ([]Token, error)
	set  atomic.Pointer[tokenSet]

	mu       sync.Mutex
	reading  *tokenRead // nil while there is none
	failedAt time.Time
	failure  error
	changed  time.Time        // a read that began before this does not know of the last change
	paces    map[string]*pace // of the tokens that have one, as of the last read
}

// tokenSet is the tokens as they were read.
type tokenSet struct {
	at   time.Time // when the read began
	byID map[string]*knownToken
}

type knownToken struct {
	Token
	grant *Grant
}

// tokenRead is a read that is under way.
type tokenRead struct {
	done chan struct{}
	err  error // once done is closed
}

// grant returns what a token allows, nil where there is no valid one.
func (c *tokenCache) grant(
	ctx context.Context, text, id string, hash [sha256.Size]byte, now time.Time,
) (*Grant, error) {
	set := c.set.Load()
	if set == nil {
		set = &tokenSet{}
	}
	age := time.Since(set.at)
	known := set.byID[id]
	switch {
	case known != nil && age < tokensFresh:
	case known != nil && age < tokensTrusted:
		// One request looks; the others, and this one if it fails, go by what is known.
		if c.idle() {
			newer, err := c.after(ctx, set)
			switch {
			case err == nil:
				known = newer.byID[id]
			case time.Since(set.at) >= tokensTrusted: // the store has let it wait for so long
				return nil, err
			}
		}
	case known == nil && (age < tokensUnknown || !wellFormed(text)):
	default:
		newer, err := c.after(ctx, set)
		if err != nil {
			return nil, err
		}
		known = newer.byID[id]
	}
	if known == nil || subtle.ConstantTimeCompare(known.Hash[:], hash[:]) == 0 || !known.valid(now) {
		return nil, nil //nolint:nilnil // no grant is an answer
	}
	return known.grant, nil
}

// holds reports whether a token is still valid. While the store does not answer, what is known counts
// for as long as it is trusted until the next time that somebody asks.
func (c *tokenCache) holds(ctx context.Context, id string, now time.Time) (bool, error) {
	set, err := c.since(ctx, time.Now().Add(-tokensFresh))
	if err != nil {
		if set = c.set.Load(); set == nil || time.Since(set.at) > tokensTrusted-tokensHeld {
			return false, err
		}
	}
	known := set.byID[id]
	return known != nil && known.valid(now), nil
}

// revoked reads the tokens after one was revoked, so that this broker knows of it at once. What it knew is
// forgotten first, and so is what a read finds that is under way: if the read fails, the next request reads, or
// is told that the store does not answer.
func (c *tokenCache) revoked(ctx context.Context) {
	c.mu.Lock()
	c.changed = time.Now()
	c.set.Store(nil)
	c.mu.Unlock()
	_, _ = c.since(ctx, time.Now())
}

// created reads the tokens after one was made. If that fails, the others go on being known.
func (c *tokenCache) created(ctx context.Context) { _, _ = c.since(ctx, time.Now()) }

// idle reports whether nobody reads.
func (c *tokenCache) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reading == nil
}

// after returns what was read later than a set.
func (c *tokenCache) after(ctx context.Context, set *tokenSet) (*tokenSet, error) {
	return c.since(ctx, set.at.Add(1))
}

// since returns what a read has found that began no earlier than a time. Callers share reads.
func (c *tokenCache) since(ctx context.Context, earliest time.Time) (*tokenSet, error) {
	for {
		if set := c.set.Load(); set != nil && !set.at.Before(earliest) {
			return set, nil
		}
		read, err := c.read(ctx)
		if err != nil {
			return nil, err
		}
		select {
		case <-read.done:
		case <-ctx.Done():
			return nil, ErrUnavailable.Because(context.Cause(ctx))
		}
		if read.err != nil {
			return nil, read.err
		}
	}
}

// read reads the tokens, or returns the read that is under way.
func (c *tokenCache) read(ctx context.Context) (*tokenRead, error) {
	c.mu.Lock()
	if c.reading != nil {
		defer c.mu.Unlock()
		return c.reading, nil
	}
	if c.failure != nil && time.Since(c.failedAt) < tokensUnknown {
		defer c.mu.Unlock()
		return nil, c.failure
	}
	read := &tokenRead{done: make(chan struct{})}
	c.reading = read
	c.mu.Unlock()

	at := time.Now()
	// Others wait for it: it does not end with the one who began it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokensTimeout)
	defer cancel()
	tokens, err := []Token(nil), errors.New("reading the tokens has panicked")
	defer func() { c.ended(read, at, tokens, err) }()
	tokens, err = c.load(ctx)
	return read, nil
}

// ended notes what a read has found.
func (c *tokenCache) ended(read *tokenRead, at time.Time, tokens []Token, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading, c.failure = nil, nil
	if err != nil {
		read.err = ErrUnavailable.Because(err)
		c.failure, c.failedAt = read.err, time.Now()
	} else if !at.Before(c.changed) {
		set := newTokenSet(at, tokens)
		c.keepPaces(set)
		c.set.Store(set)
	}
	close(read.done)
}

// keepPaces gives the grants of a set their paces. A token keeps its own from one read to the next: it is not
// forgiven what it owes. The caller holds mu.
func (c *tokenCache) keepPaces(set *tokenSet) {
	paces := map[string]*pace{}
	for id, known := range set.byID {
		if known.Quota.BytesPerSecond == 0 {
			continue
		}
		p := c.paces[id]
		if p == nil {
			p = newPace(known.Quota.BytesPerSecond)
		}
		paces[id], known.grant.pace = p, p
	}
	c.paces = paces
}

func newTokenSet(at time.Time, tokens []Token) *tokenSet {
	set := &tokenSet{at: at, byID: make(map[string]*knownToken, len(tokens))}
	for i := range tokens {
		set.byID[tokens[i].ID] = &knownToken{tokens[i], grantOf(&tokens[i])}
	}
	return set
}
