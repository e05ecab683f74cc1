package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Older clients of this protocol disagree about small things. This file rewrites what they send
// into the shape that the document describes (contract section 5), before routing; nothing else
// knows of it:
//
//   - topic_name for name (POST /topics) and for topic (all other calls); prod_client for prod_name
//   - a topic_name along with GET /topics, which is ignored
//   - the parameters of a GET in a JSON body
//   - the parameters of a POST in the query string, and no body
//   - ids as decimal strings
//
// Canonical requests pass through after a search for four words. Bytes that are no part of these
// shapes, above all those of messages, stay as they are.

// Names that older clients use.
const (
	legacyTopic = "topic_name"
	legacyName  = "prod_client"
)

// canonical returns the request in its canonical shape; x.body may be replaced.
func (s *server) canonical(x *exchange, r *http.Request) (*http.Request, error) {
	o := x.operation
	switch {
	case o.templated:
		return r, nil // these are newer than any older client
	case o.body != nil && len(x.body) == 0 && r.URL.RawQuery != "":
		// A form of a foreign page could send this, for it needs no content type: checkOrigin has
		// refused it if the browser said where it comes from.
		return o.queryToBody(x, r)
	case o.body != nil:
		return r, o.renameMembers(x)
	case len(x.body) > 0:
		return s.bodyToQuery(x, r)
	case strings.Contains(r.URL.RawQuery, legacyTopic) || strings.Contains(r.URL.RawQuery, legacyName):
		return o.renameParameters(r)
	}
	return r, nil
}

// renamer gives the parameters or members of one request their canonical names.
type renamer struct {
	operation *operation
	known     map[string]*parameter
	seen      []string // canonical; there are no more of them than are known
}

// rename returns the name that a parameter or member has in the document, or that it is to be
// ignored. What the document does not know is refused at once, and so are both spellings of a name,
// for they might say different things. No older client escapes letters: such a name is what it is.
func (n *renamer) rename(name string, escaped bool) (canonical string, ignore bool, err error) {
	canonical = name
	if !escaped {
		canonical, ignore = n.operation.canonicalName(name, n.known)
	}
	switch {
	case ignore:
	case n.known[canonical] == nil:
		err = invalid(name, "is unknown")
	case slices.Contains(n.seen, canonical):
		err = invalid(canonical, "is there twice, in an old and a new spelling")
	default:
		n.seen = append(n.seen, canonical)
	}
	return canonical, ignore, err
}

func (o *operation) canonicalName(name string, known map[string]*parameter) (canonical string, ignore bool) {
	switch {
	case name == legacyName && known["prod_name"] != nil:
		return "prod_name", false
	case name != legacyTopic:
		return name, false
	case known["topic"] != nil:
		return "topic", false
	case o.id == "createTopic":
		return "name", false
	}
	return name, o.id == "listTopics"
}

// renamed parses a query string, and gives the parameters their canonical names.
func (o *operation) renamed(query string, known map[string]*parameter) ([]pair, error) {
	pairs, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	var renamed []pair
	names := renamer{operation: o, known: known}
	for _, p := range pairs {
		name, ignore, err := names.rename(p.name, false)
		if err != nil {
			return nil, err
		}
		if !ignore {
			renamed = append(renamed, pair{name, p.value})
		}
	}
	return renamed, nil
}

// withQuery returns a request that has pairs as its query string.
func withQuery(r *http.Request, pairs []pair) *http.Request {
	values := url.Values{}
	for _, p := range pairs {
		values.Set(p.name, p.value)
	}
	address := *r.URL
	address.RawQuery = values.Encode()
	changed := r.WithContext(r.Context()) // a copy: handlers may not change the original
	changed.URL = &address
	return changed
}

// renameParameters rewrites old names in the query string of a GET.
func (o *operation) renameParameters(r *http.Request) (*http.Request, error) {
	pairs, err := o.renamed(r.URL.RawQuery, o.query)
	if err != nil {
		return nil, err
	}
	return withQuery(r, pairs), nil
}

// queryToBody makes the JSON body of a POST out of its query string.
func (o *operation) queryToBody(x *exchange, r *http.Request) (*http.Request, error) {
	pairs, err := o.renamed(r.URL.RawQuery, o.body)
	if err != nil {
		return nil, err
	}
	body := []byte{'{'}
	for i, p := range pairs {
		member := o.body[p.name]
		if problem := member.check(p.value); problem != "" {
			return nil, invalid(p.name, problem)
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(quote(body, p.name), ':')
		if member.kind == integer {
			body = append(body, p.value...)
		} else {
			body = quote(body, p.value)
		}
	}
	x.body = append(body, '}')
	return withQuery(r, nil), nil
}

func quote(to []byte, s string) []byte {
	to, _ = jsontext.AppendQuote(to, s) // fails only for invalid UTF-8, which parseQuery refused
	return to
}

// bodyToQuery makes the query string of a GET out of its JSON body.
func (s *server) bodyToQuery(x *exchange, r *http.Request) (*http.Request, error) {
	if r.URL.RawQuery != "" {
		return nil, malformed("send parameters in the query string or in a body, not in both")
	}
	if err := s.checkShape(x.body); err != nil {
		return nil, err
	}
	var pairs []pair
	names := renamer{operation: x.operation, known: x.operation.query}
	err := eachMember(x.body, func(m member) error {
		name, ignore, err := names.rename(m.name, m.escaped)
		if err != nil || ignore {
			return err
		}
		p := pair{name: name}
		switch m.value.Kind() {
		case '"':
			text, err := jsontext.AppendUnquote(nil, m.value)
			if err != nil {
				return err
			}
			p.value = string(text)
		case '0':
			p.value = string(m.value)
		default:
			return invalid(m.name, "must be a string or a number")
		}
		pairs = append(pairs, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.forgetBody()
	changed := withQuery(r, pairs)
	changed.Body, changed.ContentLength = http.NoBody, 0
	return changed, nil
}

// renameMembers rewrites old names and ids in the body of a POST.
func (o *operation) renameMembers(x *exchange) error {
	if !legacyBody(x.body) {
		return nil
	}
	var changed []byte
	names := renamer{operation: o, known: o.body}
	last := 0 // what comes before is copied already
	err := eachMember(x.body, func(m member) error {
		name, _, err := names.rename(m.name, m.escaped)
		if err != nil {
			return err
		}
		if name != m.name {
			changed = append(changed, x.body[last:m.nameAt]...)
			changed = quote(changed, name)
			last = m.nameEnd
		}
		if !m.escaped && strings.HasSuffix(name, "_id") && m.value.Kind() == '"' {
			if digits := string(m.value[1 : len(m.value)-1]); isID(digits) {
				changed = append(changed, x.body[last:m.valueAt]...)
				changed = append(changed, digits...)
				last = m.valueAt + len(m.value)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last > 0 {
		x.body = append(changed, x.body[last:]...)
	}
	return nil
}

func isID(s string) bool {
	_, ok := decimal(s)
	return ok
}

// legacyBody reports whether a body may have an old shape. A quote inside a string is escaped, so
// none of these can begin in one; a header of a message can be called so, and is looked at twice.
func legacyBody(body []byte) bool {
	return bytes.Contains(body, []byte(`"`+legacyTopic+`"`)) || bytes.Contains(body, []byte(`"`+legacyName+`"`)) ||
		textAfter(body, []byte(`"producer_id"`)) || textAfter(body, []byte(`"consumer_id"`))
}

// textAfter reports whether the value of a member of this name is a string.
func textAfter(body, name []byte) bool {
	for {
		i := bytes.Index(body, name)
		if i < 0 {
			return false
		}
		body = bytes.TrimLeft(body[i+len(name):], ": \t\r\n")
		if len(body) > 0 && body[0] == '"' {
			return true
		}
	}
}

// member is one member of the object that a body is.
type member struct {
	name            string
	escaped         bool // the name, somehow
	nameAt, nameEnd int  // where the name stands, quotes included
	value           jsontext.Value
	valueAt         int
}

// eachMember calls f for each member of a body.
func eachMember(body []byte, f func(member) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(body)) // which it does not copy
	if d.PeekKind() != '{' {
		return malformed("the body must be a JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return decodeFailure(err)
	}
	for d.PeekKind() == '"' {
		raw, err := d.ReadValue()
		if err != nil {
			return decodeFailure(err)
		}
		end := int(d.InputOffset())
		name, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return decodeFailure(err)
		}
		m := member{name: string(name), escaped: len(raw) != len(name)+len(`""`), nameAt: end - len(raw), nameEnd: end}
		if m.value, err = d.ReadValue(); err != nil {
			return decodeFailure(err)
		}
		m.valueAt = int(d.InputOffset()) - len(m.value)
		if err := f(m); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return decodeFailure(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return malformed("something follows the JSON object")
	}
	return nil
}
