package service

import (
	"errors"
	"fmt"
	"time"
)

// Code is a stable, machine-readable reason of a refusal (contract section 2). Codes are never
// renamed; those that only the HTTP layer can give live in package api.
type Code string

// The codes of the broker.
const (
	CodeInvalidRequest     Code = "invalid_request"
	CodeTopicNotFound      Code = "topic_not_found"
	CodeProducerNotFound   Code = "producer_not_found"
	CodeConsumerNotFound   Code = "consumer_not_found"
	CodeNoMessage          Code = "no_message"
	CodeTopicExists        Code = "topic_exists"
	CodeProducerFenced     Code = "producer_fenced"
	CodeUnknownEpoch       Code = "unknown_epoch"
	CodeSeqGap             Code = "seq_gap"
	CodeIncarnationChanged Code = "incarnation_changed"
	CodeOffsetBehind       Code = "offset_behind"
	CodeOffsetTrimmed      Code = "offset_trimmed"
	CodeAppendConflict     Code = "append_conflict"
	CodeMessageTooLarge    Code = "message_too_large"
	CodeRequestTooLarge    Code = "request_too_large"
	CodeOffsetOutOfRange   Code = "offset_out_of_range"
	CodeSeqReused          Code = "seq_reused"
	CodeRateLimited        Code = "rate_limited"
	CodeInternal           Code = "internal"
	CodeOverloaded         Code = "overloaded"
	CodeUnavailable        Code = "unavailable"
	CodeOutcomeUnknown     Code = "outcome_unknown"
	CodeStorageFull        Code = "storage_full"
)

// Facts are the values a caller needs to act on a refusal. Which are set depends on the code.
type Facts struct {
	Field       string // invalid_request: the member or parameter at fault
	Incarnation string // incarnation_changed: the current one
	Epoch       *int64 // producer_fenced, unknown_epoch: the current one
	ExpectedSeq *int64 // seq_gap
	Seq         *int64 // seq_reused: the first that differs
	Offset      *int64 // offset_behind: the committed one
	FirstOffset *int64 // offset_trimmed
	NextOffset  *int64 // append_conflict, offset_out_of_range
	MaxBytes    *int64 // message_too_large, request_too_large
	Quota       Quota  // rate_limited: the one that is used up
	// RetryAfter is when the same call may succeed, where that is known: rate_limited.
	RetryAfter time.Duration
}

// Error is a refusal or failure: a code, a sentence for the caller, the facts, and the cause,
// which is logged and never sent. A 4xx code means that this attempt stored and moved nothing;
// internal, unavailable, outcome_unknown mean that the outcome may be unknown to the caller.
type Error struct {
	Code    Code
	Message string
	Facts   Facts
	Cause   error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an Error of the same code, so that the sentinels match however
// deeply an error is wrapped. A nil *Error in an error value matches nothing.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && e != nil && t != nil && t.Code == e.Code
}

// Sentinels for errors.Is. They carry no facts: make errors to return with the functions below.
var (
	ErrInvalidRequest     = &Error{Code: CodeInvalidRequest, Message: "the request is not valid"}
	ErrTopicNotFound      = &Error{Code: CodeTopicNotFound, Message: "the topic does not exist"}
	ErrProducerNotFound   = &Error{Code: CodeProducerNotFound, Message: "the producer is not registered on this topic"}
	ErrConsumerNotFound   = &Error{Code: CodeConsumerNotFound, Message: "the consumer is not registered on this topic"}
	ErrNoMessage          = &Error{Code: CodeNoMessage, Message: "there is no message for this consumer"}
	ErrTopicExists        = &Error{Code: CodeTopicExists, Message: "the topic exists already"}
	ErrProducerFenced     = &Error{Code: CodeProducerFenced, Message: "a later session of this producer has taken over"}
	ErrUnknownEpoch       = &Error{Code: CodeUnknownEpoch, Message: "this session of the producer was never opened"}
	ErrSeqGap             = &Error{Code: CodeSeqGap, Message: "seq is beyond the next one expected"}
	ErrIncarnationChanged = &Error{Code: CodeIncarnationChanged, Message: "the topic's history may have changed"}
	ErrOffsetBehind       = &Error{Code: CodeOffsetBehind, Message: "offset lies before the committed one"}
	ErrOffsetTrimmed      = &Error{Code: CodeOffsetTrimmed, Message: "the messages at this offset have been trimmed"}
	ErrAppendConflict     = &Error{Code: CodeAppendConflict, Message: "expected_offset is not where the message would go"}
	ErrMessageTooLarge    = &Error{Code: CodeMessageTooLarge, Message: "a message is too large"}
	ErrRequestTooLarge    = &Error{Code: CodeRequestTooLarge, Message: "the request is too large"}
	ErrOffsetOutOfRange   = &Error{Code: CodeOffsetOutOfRange, Message: "offset lies beyond the end of the topic"}
	ErrSeqReused          = &Error{Code: CodeSeqReused, Message: "this seq was stored with another message"}
	ErrRateLimited        = &Error{Code: CodeRateLimited, Message: "a quota is used up"}
	ErrInternal           = &Error{Code: CodeInternal, Message: "internal error"}
	ErrOverloaded         = &Error{Code: CodeOverloaded, Message: "the broker has too much work queued; try again later"}
	ErrUnavailable        = &Error{Code: CodeUnavailable, Message: "the store does not answer; try again later"}
	ErrOutcomeUnknown     = &Error{Code: CodeOutcomeUnknown, Message: "the store's answer was lost: it may or may not have been done"}
	ErrStorageFull        = &Error{Code: CodeStorageFull, Message: "the store is full"}
)

// Invalid returns an invalid_request about one member or parameter.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalidRequest, Message: field + ": " + fmt.Sprintf(format, args...), Facts: Facts{Field: field}}
}

// With returns a copy of a sentinel with the facts a caller needs.
func (e *Error) With(facts Facts) *Error {
	return &Error{Code: e.Code, Message: e.Message, Facts: facts, Cause: e.Cause}
}

// Because returns a copy of a sentinel with the cause, which is logged and never sent.
func (e *Error) Because(cause error) *Error {
	return &Error{Code: e.Code, Message: e.Message, Facts: e.Facts, Cause: cause}
}

// CodeOf returns the code of the outermost Error in a chain, internal where there is none. Only the
// outermost one says what happened to the call: an unknown outcome may well have been caused by a
// connection that was unavailable, and is no less unknown for it.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

func fact[T ~int64](v T) *int64 {
	n := int64(v)
	return &n
}

func errProducerFenced(epoch int64) *Error { return ErrProducerFenced.With(Facts{Epoch: &epoch}) }
func errUnknownEpoch(epoch int64) *Error   { return ErrUnknownEpoch.With(Facts{Epoch: &epoch}) }
func errSeqGap(expected int64) *Error      { return ErrSeqGap.With(Facts{ExpectedSeq: &expected}) }
func errSeqReused(seq int64) *Error        { return ErrSeqReused.With(Facts{Seq: &seq}) }
func errIncarnation(current string) *Error {
	return ErrIncarnationChanged.With(Facts{Incarnation: current})
}

func errOffsetBehind(committed Offset) *Error {
	return ErrOffsetBehind.With(Facts{Offset: fact(committed)})
}

func errOffsetTrimmed(first Offset) *Error {
	return ErrOffsetTrimmed.With(Facts{FirstOffset: fact(first)})
}

func errOutOfRange(next Offset) *Error {
	return ErrOffsetOutOfRange.With(Facts{NextOffset: fact(next)})
}

func errAppendConflict(next Offset) *Error {
	return ErrAppendConflict.With(Facts{NextOffset: fact(next)})
}
