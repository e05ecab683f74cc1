package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/topiq/topiq/service"
)

// pair is one parameter as it was sent.
type pair struct{ name, value string }

// maxParameters is more than any operation has.
const maxParameters = 32

// parseQuery splits a query string. The standard library drops what it cannot read, and then a
// parameter would be taken as absent; here that is an error.
func parseQuery(raw string) ([]pair, error) {
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(part, ";") {
			return nil, malformed("the query string is malformed")
		}
		value, err = url.QueryUnescape(value)
		if err != nil || !utf8.ValidString(value) {
			return nil, invalid(name, "is malformed")
		}
		if len(pairs) == maxParameters {
			return nil, malformed("there are too many parameters")
		}
		if slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name }) {
			return nil, invalid(name, "is there twice")
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, nil
}

// checkQuery checks a query string against the document. Maxima are not checked here: they are the
// broker's, and may be other ones than those of the document.
func (o *operation) checkQuery(raw string) error {
	if raw == "" && len(o.query) == 0 {
		return nil
	}
	pairs, err := parseQuery(raw)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		parameter := o.query[p.name]
		if parameter == nil {
			return invalid(p.name, "is unknown")
		}
		if problem := parameter.check(p.value); problem != "" {
			return invalid(p.name, problem)
		}
	}
	for _, name := range o.required {
		if !slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name }) {
			return invalid(name, "is missing")
		}
	}
	return nil
}

// check says what is wrong with the text of a parameter, "" if nothing is.
func (p *parameter) check(value string) string {
	switch p.kind {
	case integer:
		n, ok := decimal(value)
		if !ok || n < p.least || n > service.MaxInteger {
			return "must be an integer in digits, from " + strconv.FormatInt(p.least, 10)
		}
	case moment:
		// As in a body: package time takes more than RFC 3339.
		if err := json.Unmarshal(quote(nil, value), new(time.Time)); err != nil {
			return "must be a time like 2026-03-01T09:30:00Z"
		}
	case text:
		if p.nonEmpty && value == "" {
			return "must not be empty"
		}
	case other:
		return "cannot be given as text"
	}
	return ""
}

// decimal reads an integer as JSON writes it: no sign but the minus, no leading zeros, no spaces.
func decimal(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 16 || digits[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
