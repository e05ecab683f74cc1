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

// canonicalName returns the name that a member or parameter has in the document, "" for one that
// is to be ignored.
func (o *operation) canonicalName(name string, known map[string]*parameter) string {
	switch {
	case name == legacyName && known["prod_name"] != nil:
		return "prod_name"
	case name != legacyTopic:
		return name
	case known["topic"] != nil:
		return "topic"
	case o.id == "createTopic":
		return "name"
	case o.id == "listTopics":
		return ""
	}
	return name
}

// rename gives pairs their canonical names. Both spellings at once are refused, for they might say
// different things.
func (o *operation) rename(pairs []pair, known map[string]*parameter) ([]pair, error) {
	var renamed []pair
	for _, p := range pairs {
		p.name = o.canonicalName(p.name, known)
		if p.name == "" {
			continue
		}
		if slices.ContainsFunc(renamed, func(q pair) bool { return q.name == p.name }) {
			return nil, invalid(p.name, "is there twice, in an old and a new spelling")
		}
		renamed = append(renamed, p)
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
	pairs, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if pairs, err = o.rename(pairs, o.query); err != nil {
		return nil, err
	}
	return withQuery(r, pairs), nil
}

// queryToBody makes the JSON body of a POST out of its query string.
func (o *operation) queryToBody(x *exchange, r *http.Request) (*http.Request, error) {
	pairs, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if pairs, err = o.rename(pairs, o.body); err != nil {
		return nil, err
	}
	body := []byte{'{'}
	for i, p := range pairs {
		member := o.body[p.name]
		if member == nil {
			return nil, invalid(p.name, "is unknown")
		}
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
		return nil, invalid("", "send parameters in the query string or in a body, not in both")
	}
	if err := s.checkShape(x.body); err != nil {
		return nil, err
	}
	var pairs []pair
	err := eachMember(x.body, func(m member) error {
		p := pair{name: m.name}
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
			return invalid(p.name, "must be a string or a number")
		}
		pairs = append(pairs, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if pairs, err = x.operation.rename(pairs, x.operation.query); err != nil {
		return nil, err
	}
	x.body = nil
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
	var names []string
	last := 0 // what comes before is copied already
	err := eachMember(x.body, func(m member) error {
		name := o.canonicalName(m.name, o.body)
		if slices.Contains(names, name) {
			return invalid(name, "is there twice")
		}
		names = append(names, name)
		if name != m.name {
			changed = append(changed, x.body[last:m.nameAt]...)
			changed = quote(changed, name)
			last = m.nameEnd
		}
		if strings.HasSuffix(name, "_id") && m.value.Kind() == '"' {
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
	nameAt, nameEnd int // where the name stands, quotes included
	value           jsontext.Value
	valueAt         int
}

// eachMember calls f for each member of a body.
func eachMember(body []byte, f func(member) error) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if d.PeekKind() != '{' {
		return invalid("", "the body must be a JSON object")
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
		m := member{name: string(name), nameAt: end - len(raw), nameEnd: end}
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
		return invalid("", "something follows the JSON object")
	}
	return nil
}
