package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// operation is what an exchange needs to know about the call it makes.
type operation struct {
	name    string
	changes bool          // without an answer, its outcome is unknown
	wait    time.Duration // how long the broker may wait before it answers
}

// exchange makes one attempt of a call: it sends the request, reads the whole answer, and returns it
// decoded and checked. A failed attempt is an [Error] which knows whether the attempt may have had an
// effect, unless ctx had ended before.
func exchange[T any](
	ctx context.Context, c *Client, op operation,
	send func(context.Context) (*http.Response, error), check func(*T) error,
) (*T, error) {
	if c.isClosed() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := c.timeout + op.wait
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	rsp, err := send(ctx)
	if err != nil {
		return nil, unanswered(op, err)
	}
	defer func() { _ = rsp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(rsp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, unreadable(op, rsp.StatusCode, err)
	}
	if len(body) > maxAnswerBytes {
		return nil, unreadable(op, rsp.StatusCode, fmt.Errorf("the answer is larger than %d bytes", maxAnswerBytes))
	}
	if rsp.StatusCode != http.StatusOK {
		return nil, failed(op, rsp, body)
	}
	result := new(T)
	if err := json.Unmarshal(body, result); err != nil {
		return nil, unreadable(op, rsp.StatusCode, err)
	}
	if err := check(result); err != nil {
		// The broker said something impossible. To ask again would be to hope for another answer.
		e := unreadable(op, rsp.StatusCode, err)
		e.passing = false
		return nil, e
	}
	return result, nil
}

// unanswered is an attempt that got no answer.
func unanswered(op operation, err error) *Error {
	return &Error{Op: op.name, passing: true, unknown: op.changes && !neverSent(err), cause: err}
}

// unreadable is an attempt whose answer was cut short or is not what the contract says.
func unreadable(op operation, status int, err error) *Error {
	return &Error{
		Op: op.name, Status: status, Message: "the answer makes no sense",
		passing: true, unknown: op.changes && !refusal(status), cause: err,
	}
}

// refusal reports whether a status says that the attempt did nothing.
func refusal(status int) bool { return status >= 400 && status < 500 }

// neverSent reports whether a request certainly did not reach anybody: there was no connection. Every other
// error of a transport may come after the request was handled.
func neverSent(err error) bool {
	opErr, ok := errors.AsType[*net.OpError](err)
	return ok && opErr.Op == "dial"
}

// failed is an answer other than success.
func failed(op operation, rsp *http.Response, body []byte) *Error {
	e := &Error{Op: op.name, Status: rsp.StatusCode, RetryAfter: retryAfter(rsp.Header)}
	var f wire.Failure
	if err := json.Unmarshal(body, &f); err == nil && f.Status == wire.FailureStatusFailure {
		e.Code, e.Message = string(f.Code), f.Message
		e.Field, e.Required = orEmpty(f.Field), orEmpty(f.Required)
		e.Incarnation, e.RequestID = orEmpty(f.Incarnation), orEmpty(f.RequestID)
		e.Epoch, e.ExpectedSeq, e.Seq = f.Epoch, f.ExpectedSeq, f.Seq
		e.Offset, e.FirstOffset, e.NextOffset, e.MaxBytes = f.Offset, f.FirstOffset, f.NextOffset, f.MaxBytes
	}
	switch {
	case rsp.StatusCode == http.StatusTooManyRequests, rsp.StatusCode == http.StatusRequestTimeout:
		e.passing = true
	case refusal(rsp.StatusCode):
		// It lasts.
	default:
		// A 5xx, or something no broker answers: perhaps of a proxy, perhaps after the broker did it.
		e.passing, e.unknown = true, op.changes
	}
	return e
}

// retryAfter reads the header of that name, in seconds or as a time; 0 if there is none.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// answered is the check that every answer of success passes.
func answered(status wire.SuccessStatus) error {
	if status != wire.SuccessStatusSuccess {
		return fmt.Errorf("the status of the answer is %q", status)
	}
	return nil
}
