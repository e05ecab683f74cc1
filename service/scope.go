package service

import (
	"cmp"
	"slices"
	"strings"
)

// Scope is one thing that a token allows, as text: "produce:PATTERN", "consume:PATTERN", or "admin". A
// pattern is the name of a topic, or the beginning of names with * behind it; * alone is every topic.
type Scope string

// Right is what a scope is about.
type Right string

// The rights. Admin is all of them on every topic, and what concerns the broker as a whole.
const (
	RightProduce Right = "produce"
	RightConsume Right = "consume"
	RightAdmin   Right = "admin"
)

// AnyTopic is the pattern of every topic.
const AnyTopic = "*"

// ScopeOf is the text of a scope. pattern does not count for RightAdmin.
func ScopeOf(right Right, pattern TopicName) Scope {
	if right == RightAdmin {
		return Scope(right)
	}
	return Scope(string(right) + ":" + string(pattern))
}

// split takes a scope apart. Errors: invalid_request.
func (s Scope) split() (Right, pattern, error) {
	right, text, found := strings.Cut(string(s), ":")
	switch {
	case Right(right) == RightAdmin && !found:
		return RightAdmin, pattern{}, nil
	case Right(right) != RightProduce && Right(right) != RightConsume || !found:
		return "", pattern{}, Invalid("scopes", "a scope is produce:PATTERN, consume:PATTERN or admin")
	}
	p := pattern{text: text}
	p.text, p.prefix = strings.CutSuffix(text, AnyTopic)
	if p.text == "" && p.prefix {
		return Right(right), p, nil
	}
	// The beginning of a name may be a dot alone, and a name may not; but neither does any harm.
	if !p.prefix || p.text != "." && p.text != ".." {
		if err := CheckName("scopes", p.text); err != nil {
			return "", pattern{}, Invalid("scopes", "a pattern is the name of a topic, or the beginning of names with * behind it")
		}
	}
	return Right(right), p, nil
}

// pattern is some topics: one name, or all with a prefix.
type pattern struct {
	text   string
	prefix bool
}

func (p pattern) matches(name TopicName) bool {
	if p.prefix {
		return strings.HasPrefix(string(name), p.text)
	}
	return string(name) == p.text
}

// covers reports whether a pattern matches all that another does.
func (p pattern) covers(other pattern) bool {
	return p == other || p.prefix && strings.HasPrefix(other.text, p.text)
}

// Grant is what a valid token allows. It is never modified.
type Grant struct {
	// TokenID is the public part of the token.
	TokenID          string
	admin            bool
	quota            TokenQuota
	pace             *pace // nil without a rate; it outlives the grant, as long as the token is known
	produce, consume []pattern
}

// grantOf is what scopes allow. One that is not understood, as of a later version, allows nothing.
func grantOf(token *Token) *Grant {
	g := &Grant{TokenID: token.ID, quota: token.Quota}
	for _, scope := range token.Scopes {
		right, p, err := scope.split()
		switch {
		case err != nil:
		case right == RightAdmin:
			g.admin = true
		case right == RightProduce:
			g.produce = append(g.produce, p)
		case right == RightConsume:
			g.consume = append(g.consume, p)
		}
	}
	return g
}

// of are the patterns of a right, which is none of admin.
func (g *Grant) of(right Right) []pattern {
	switch right {
	case RightProduce:
		return g.produce
	case RightConsume:
		return g.consume
	case RightAdmin:
	}
	return nil
}

// May reports whether a right is granted on a topic, whether or not there is such a topic.
func (g *Grant) May(right Right, topic TopicName) bool {
	if g.admin {
		return true
	}
	for _, p := range g.of(right) {
		if p.matches(topic) {
			return true
		}
	}
	return false
}

// MayEverywhere reports whether a right is granted on every topic.
func (g *Grant) MayEverywhere(right Right) bool {
	return g.admin || slices.Contains(g.of(right), pattern{prefix: true})
}

// MaySomewhere reports whether a right is granted on any topic.
func (g *Grant) MaySomewhere(right Right) bool { return g.admin || len(g.of(right)) > 0 }

// visible are the patterns of the topics whose existence a token may learn, none of which covers
// another: those it may do anything with.
func (g *Grant) visible() []pattern {
	if g.admin {
		return []pattern{{prefix: true}}
	}
	all := slices.Concat(g.produce, g.consume)
	slices.SortFunc(all, func(a, b pattern) int {
		// A prefix comes before what it covers.
		if c := cmp.Compare(a.text, b.text); c != 0 || a.prefix == b.prefix {
			return c
		}
		if a.prefix {
			return -1
		}
		return 1
	})
	var kept []pattern
	for _, p := range all {
		if !slices.ContainsFunc(kept, func(k pattern) bool { return k.covers(p) }) {
			kept = append(kept, p)
		}
	}
	return kept
}
