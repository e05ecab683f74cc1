package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// Errors of the SDK itself. No request is behind them.
var (
	// ErrClosed answers calls on a closed client, producer or consumer. A message that Send refuses with it
	// was not sent.
	ErrClosed = errors.New("topiq: closed")

	// ErrTimeout ends a Poll after the time that the option Timeout allows without a message. It is the
	// clean end of a consumer, as io.EOF is that of a reader: Messages just ends, and Run returns nil.
	ErrTimeout = errors.New("topiq: no message for too long")

	// ErrBusy answers Poll, Messages, Run and Seek while another of these calls is under way on the same
	// consumer. Use a consumer from one goroutine at a time; Commit and Position are the exceptions.
	ErrBusy = errors.New("topiq: another call of this consumer is under way")
)

// Sentinels for errors.Is, one for each code of the contract. They match however deeply an error is wrapped.
// The facts of a refusal are in the [Error], which errors.As finds.
var (
	// ErrInvalidRequest: a parameter is wrong; Field names it. The SDK also returns it, without asking the
	// broker, for options and messages that can only be refused.
	ErrInvalidRequest error = &Error{Code: string(wire.FailureCodeInvalidRequest)}
	// ErrUnauthorized: the broker wants a token, and there is none or it is not valid.
	ErrUnauthorized error = &Error{Code: string(wire.FailureCodeUnauthorized)}
	// ErrForbidden: the token does not allow this call; Required is the scope it lacks.
	ErrForbidden error = &Error{Code: string(wire.FailureCodeForbidden)}
	// ErrCrossOrigin: the broker took the request for one of a browser page of another site.
	ErrCrossOrigin error = &Error{Code: string(wire.FailureCodeCrossOrigin)}
	// ErrTopicNotFound: there is no such topic, or the token may not see it.
	ErrTopicNotFound error = &Error{Code: string(wire.FailureCodeTopicNotFound)}
	// ErrProducerNotFound: the producer is not registered on this topic (any more).
	ErrProducerNotFound error = &Error{Code: string(wire.FailureCodeProducerNotFound)}
	// ErrConsumerNotFound: the consumer is not registered on this topic (any more).
	ErrConsumerNotFound error = &Error{Code: string(wire.FailureCodeConsumerNotFound)}
	// ErrNoMessage: plain consume found nothing. The SDK never consumes plainly.
	ErrNoMessage error = &Error{Code: string(wire.FailureCodeNoMessage)}
	// ErrNotFound: there is no such address; the base URL is probably wrong.
	ErrNotFound error = &Error{Code: string(wire.FailureCodeNotFound)}
	// ErrMethodNotAllowed: the address does not know this method; the base URL is probably wrong.
	ErrMethodNotAllowed error = &Error{Code: string(wire.FailureCodeMethodNotAllowed)}
	// ErrRequestTimeout: the body of the request did not arrive in time.
	ErrRequestTimeout error = &Error{Code: string(wire.FailureCodeRequestTimeout)}
	// ErrTopicExists: a topic of this name exists.
	ErrTopicExists error = &Error{Code: string(wire.FailureCodeTopicExists)}
	// ErrProducerFenced: a later session of this name took over; Epoch is the current one (P10).
	ErrProducerFenced error = &Error{Code: string(wire.FailureCodeProducerFenced)}
	// ErrUnknownEpoch: the broker knows no session of this epoch; Epoch is the current one.
	ErrUnknownEpoch error = &Error{Code: string(wire.FailureCodeUnknownEpoch)}
	// ErrSeqGap: messages before this one are missing; ExpectedSeq is the next one.
	ErrSeqGap error = &Error{Code: string(wire.FailureCodeSeqGap)}
	// ErrIncarnationChanged: the history of the topic may have changed; Incarnation is the current one (P13).
	ErrIncarnationChanged error = &Error{Code: string(wire.FailureCodeIncarnationChanged)}
	// ErrOffsetBehind: another user of the same consumer is further on; Offset is the committed position.
	ErrOffsetBehind error = &Error{Code: string(wire.FailureCodeOffsetBehind)}
	// ErrOffsetTrimmed: retention removed what the position points to; FirstOffset is the first one left.
	ErrOffsetTrimmed error = &Error{Code: string(wire.FailureCodeOffsetTrimmed)}
	// ErrAppendConflict: the message would not get its expected offset; NextOffset is what it would get.
	ErrAppendConflict error = &Error{Code: string(wire.FailureCodeAppendConflict)}
	// ErrMessageTooLarge: one message is larger than MaxBytes.
	ErrMessageTooLarge error = &Error{Code: string(wire.FailureCodeMessageTooLarge)}
	// ErrRequestTooLarge: the body of the request is larger than MaxBytes.
	ErrRequestTooLarge error = &Error{Code: string(wire.FailureCodeRequestTooLarge)}
	// ErrUnsupportedMediaType: the broker did not see the body as JSON; something in between changed it.
	ErrUnsupportedMediaType error = &Error{Code: string(wire.FailureCodeUnsupportedMediaType)}
	// ErrOffsetOutOfRange: the position is above the end; NextOffset is the end. After a failover that lost
	// data, this is the sign of it (P11).
	ErrOffsetOutOfRange error = &Error{Code: string(wire.FailureCodeOffsetOutOfRange)}
	// ErrHostNotAllowed: the broker does not serve the host name of the base URL.
	ErrHostNotAllowed error = &Error{Code: string(wire.FailureCodeHostNotAllowed)}
	// ErrSeqReused: another message is stored under this seq; somebody else uses the producer's name.
	ErrSeqReused error = &Error{Code: string(wire.FailureCodeSeqReused)}
	// ErrRateLimited: a quota of the token or of the topic is used up, which Quota names; nothing was done.
	// RetryAfter says when to try again. The SDK does, but for quotas of how many there are.
	ErrRateLimited error = &Error{Code: string(wire.FailureCodeRateLimited)}
	// ErrInternal: a fault of the broker; RequestID finds it in the broker's log.
	ErrInternal error = &Error{Code: string(wire.FailureCodeInternal)}
	// ErrOverloaded: too much work is waiting in the broker.
	ErrOverloaded error = &Error{Code: string(wire.FailureCodeOverloaded)}
	// ErrUnavailable: the store does not answer, or the broker starts or stops.
	ErrUnavailable error = &Error{Code: string(wire.FailureCodeUnavailable)}
	// ErrOutcomeUnknown: the call may or may not have done its work. It matches the code of that name and
	// also every call that changes something and got no proper answer: the connection was lost, the answer
	// was cut short, was a 5xx or was a refusal of something in between, or ctx ended while the request was
	// out. The other sentinels may match the same error and then say why.
	ErrOutcomeUnknown error = &Error{Code: string(wire.FailureCodeOutcomeUnknown)}
	// ErrStorageFull: the store has no space left.
	ErrStorageFull error = &Error{Code: string(wire.FailureCodeStorageFull)}
)

// Error is a call that failed: refused by the broker, not answered, or answered with something unreadable.
// A pointer that is nil is a fact that was not told.
type Error struct {
	Op      string // what was attempted, such as "produce"
	Code    string // the code of the contract; empty if there was no readable answer
	Status  int    // the HTTP status; 0 if there was no answer
	Message string // a sentence for people

	Field       string // invalid_request: the parameter that is wrong
	Required    string // forbidden: the scope that the token lacks
	Incarnation string // incarnation_changed: the current one
	Quota       string // rate_limited: the quota that is used up
	RequestID   string // internal: the id in the broker's log
	Epoch       *int64 // producer_fenced, unknown_epoch: the current one
	ExpectedSeq *int64 // seq_gap: the next one
	Seq         *int64 // seq_reused: the first one that differs
	Offset      *int64 // offset_behind: the committed one
	FirstOffset *int64 // offset_trimmed: the first message still stored
	NextOffset  *int64 // offset_out_of_range, append_conflict: the end of the topic
	MaxBytes    *int64 // message_too_large, request_too_large: the limit

	// RetryAfter is how long the broker asked to wait; 0 if it did not ask.
	RetryAfter time.Duration

	unknown bool // the call may have done its work
	passing bool // the same call may succeed later
	cause   error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("topiq: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	switch {
	case e.Code != "":
		b.WriteString(e.Code)
	case e.Status != 0:
		fmt.Fprintf(&b, "HTTP status %d", e.Status)
	default:
		b.WriteString("no answer")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause, such as a *net.OpError or the error of a context.
func (e *Error) Unwrap() error { return e.cause }

// Is compares codes, so that the sentinels match. [ErrOutcomeUnknown] also matches by what is known about
// the outcome.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	if !ok || t.Code == "" {
		return false
	}
	if e.unknown && t.Code == string(wire.FailureCodeOutcomeUnknown) {
		return true
	}
	return e.Code == t.Code
}

// Temporary reports whether the same call may succeed later without any change: the broker was not reached,
// did not answer, was overloaded or limited the rate. Whether it may be repeated is another question, which
// [ErrOutcomeUnknown] answers.
func (e *Error) Temporary() bool { return e.passing }

// invalid refuses something before any request.
func invalid(field, format string, args ...any) *Error {
	return &Error{
		Code:    string(wire.FailureCodeInvalidRequest),
		Field:   field,
		Message: field + ": " + fmt.Sprintf(format, args...),
	}
}

// doubtful says that the outcome is unknown, and why: an earlier attempt was not answered, whatever the last
// one got (contract section 2: a 4xx speaks of its own attempt only).
func doubtful(op string, cause error) *Error {
	return &Error{
		Op:      op,
		Code:    string(wire.FailureCodeOutcomeUnknown),
		Message: "it may or may not have been done",
		unknown: true,
		cause:   cause,
	}
}

// asError finds the Error in a chain; what is none counts as a lasting refusal.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{cause: err}
}

// hasCode reports whether the last answer carried one of the codes.
func (e *Error) hasCode(codes ...wire.FailureCode) bool {
	for _, code := range codes {
		if e.Code == string(code) {
			return true
		}
	}
	return false
}
