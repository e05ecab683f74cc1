package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	send func(context.Context, *broker) (*http.Response, error), check func(*T) error,
) (*T, error) {
	if c.isClosed() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, turn := c.brokers.current()
	result, err := ask(ctx, c, op, func(ctx context.Context) (*http.Response, error) { return send(ctx, to) }, check)
	if err != nil {
		c.failedOver(ctx, op, turn, err)
		return nil, err
	}
	return result, nil
}

// ask is exchange with the broker chosen.
func ask[T any](
	ctx context.Context, c *Client, op operation,
	send func(context.Context) (*http.Response, error), check func(*T) error,
) (*T, *Error) {
	limit := c.timeout + min(op.wait, math.MaxInt64-c.timeout)
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	rsp, err := send(limited)
	if err != nil {
		return nil, noAnswer(op, withEnd(ctx, err))
	}
	defer func() { _ = rsp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(rsp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, unreadable(op, rsp.StatusCode, withEnd(ctx, err))
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

// withEnd adds the error of a context that has ended. Transports tell its cause in place of it, if it has one.
func withEnd(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		return fmt.Errorf("%w: %w", end, err)
	}
	return err
}

// noAnswer is an attempt that got no answer.
func noAnswer(op operation, err error) *Error {
	return &Error{Op: op.name, passing: true, unknown: op.changes && !neverSent(err), cause: err}
}

// unreadable is an attempt whose answer was cut short or is not what the contract says.
func unreadable(op operation, status int, err error) *Error {
	return &Error{
		Op: op.name, Status: status, Message: "the answer makes no sense",
		passing: true, unknown: op.changes, cause: err,
	}
}

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
		e.Quota = orEmpty(f.Quota)
		e.Incarnation, e.RequestID = orEmpty(f.Incarnation), orEmpty(f.RequestID)
		e.Epoch, e.ExpectedSeq, e.Seq = f.Epoch, f.ExpectedSeq, f.Seq
		e.Offset, e.FirstOffset, e.NextOffset, e.MaxBytes = f.Offset, f.FirstOffset, f.NextOffset, f.MaxBytes
	}
	// Only a 4xx of the broker itself says that the attempt did nothing. A 5xx, or a page of a proxy, may come
	// after the broker did it.
	is4xx := rsp.StatusCode >= 400 && rsp.StatusCode < 500
	e.unknown = op.changes && (!is4xx || e.Code == "")
	e.passing = !is4xx || rsp.StatusCode == http.StatusTooManyRequests && !countsUp(e.Quota) || rsp.StatusCode == http.StatusRequestTimeout
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
