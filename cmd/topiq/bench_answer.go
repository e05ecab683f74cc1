package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The answers are looked through for what must be in them, not decoded: decoding a hundred messages here
// would cost as much as it costs the broker to find them. This works because all that is in them
// was made by this program: its payloads and names have no quotation marks.

var errNoSuchAnswer = errors.New("the answer is not that of a broker")

// refusedError is an answer that is no success.
type refusedError struct {
	status        int
	code, message string
}

// Error implements error.
func (e *refusedError) Error() string {
	return fmt.Sprintf("the broker refused a request: %d %s: %s", e.status, e.code, e.message)
}

// passing reports whether the same request may succeed later.
func (e *refusedError) passing() bool {
	return e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout
}

// succeeded returns an error unless an answer is a success.
func succeeded(status int, body []byte) error {
	if status == http.StatusOK && bytes.Contains(body, []byte(`"status":"success"`)) {
		return nil
	}
	if status == http.StatusOK {
		return errNoSuchAnswer
	}
	var failure struct{ Code, Message string }
	if err := json.Unmarshal(body, &failure); err != nil || failure.Code == "" {
		failure.Code, failure.Message = "http", http.StatusText(status)
	}
	return &refusedError{status, failure.Code, failure.Message}
}

// firstInteger and lastInteger return the integer behind the first, or the last, place that has the name.
func firstInteger(body []byte, name string) (int64, bool) {
	return integerAt(body, bytes.Index(body, []byte(name)), name)
}

func lastInteger(body []byte, name string) (int64, bool) {
	return integerAt(body, bytes.LastIndex(body, []byte(name)), name)
}

func integerAt(body []byte, at int, name string) (n int64, ok bool) {
	if at < 0 {
		return 0, false
	}
	for _, c := range body[at+len(name):] {
		if c < '0' || c > '9' || n > 1<<53 {
			break
		}
		n, ok = n*10+int64(c-'0'), true
	}
	return n, ok
}

// Members as the broker writes them.
const (
	memberOffset     = `"offset":`
	memberNextOffset = `"next_offset":`
	memberCreatedAt  = `"created_at":`
	memberMessage    = `"message":"`
)

// produced checks the answer to a produce of count messages, and returns the offset of the first.
// again says that an earlier attempt may have stored them.
func produced(body []byte, count int, again bool) (offset int64, err error) {
	n, ok := firstInteger(body, `"count":`)
	if !ok || int(n) != count {
		return 0, fmt.Errorf("%w: it counts %d messages of %d: %s", errNoSuchAnswer, n, count, excerpt(body))
	}
	if !again && !bytes.Contains(body, []byte(`"duplicate":false`)) {
		return 0, fmt.Errorf("a message that was sent once is a duplicate: %s", excerpt(body))
	}
	offset, ok = firstInteger(body, memberOffset)
	if !ok {
		return 0, fmt.Errorf("%w: it has no offset: %s", errNoSuchAnswer, excerpt(body))
	}
	return offset, nil
}

// messagesIn checks that an answer has each message from one offset to the next, and returns how many.
func messagesIn(body []byte, from, next int64) (int, error) {
	n := bytes.Count(body, []byte(memberCreatedAt))
	if next-from != int64(n) {
		return 0, fmt.Errorf("%d messages from offset %d to %d: %s", n, from, next, excerpt(body))
	}
	return n, nil
}

// excerpt is the beginning of an answer.
func excerpt(body []byte) []byte { return body[:min(len(body), 200)] }
