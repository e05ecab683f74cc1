package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// Code is a reason of a refusal that only HTTP can give. Those of the broker are service.Code.
type Code string

// The codes of HTTP.
const (
	CodeUnauthorized         Code = "unauthorized"
	CodeForbidden            Code = "forbidden"
	CodeCrossOrigin          Code = "cross_origin"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeRequestTimeout       Code = "request_timeout"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeHostNotAllowed       Code = "host_not_allowed"
)

// statusOf is the table of contract section 2 for the codes of the broker. It has no default, so
// that the exhaustive linter finds a code that is missing.
func statusOf(code service.Code) int {
	switch code {
	case service.CodeInvalidRequest:
		return http.StatusBadRequest
	case service.CodeTopicNotFound, service.CodeProducerNotFound, service.CodeConsumerNotFound, service.CodeNoMessage:
		return http.StatusNotFound
	case service.CodeTopicExists, service.CodeProducerFenced, service.CodeUnknownEpoch, service.CodeSeqGap,
		service.CodeIncarnationChanged, service.CodeOffsetBehind:
		return http.StatusConflict
	case service.CodeOffsetTrimmed:
		return http.StatusGone
	case service.CodeAppendConflict:
		return http.StatusPreconditionFailed
	case service.CodeMessageTooLarge, service.CodeRequestTooLarge:
		return http.StatusRequestEntityTooLarge
	case service.CodeOffsetOutOfRange:
		return http.StatusRequestedRangeNotSatisfiable
	case service.CodeSeqReused:
		return http.StatusUnprocessableEntity
	case service.CodeRateLimited:
		return http.StatusTooManyRequests
	case service.CodeInternal:
		return http.StatusInternalServerError
	case service.CodeOverloaded, service.CodeUnavailable, service.CodeOutcomeUnknown:
		return http.StatusServiceUnavailable
	case service.CodeStorageFull:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// statusOfHTTP is the same table for the codes of HTTP.
func statusOfHTTP(code Code) int {
	switch code {
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden, CodeCrossOrigin:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeRequestTimeout:
		return http.StatusRequestTimeout
	case CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case CodeHostNotAllowed:
		return http.StatusMisdirectedRequest
	}
	return http.StatusInternalServerError
}

// refusal is an error with a code of HTTP.
type refusal struct {
	code     Code
	message  string
	required string // forbidden: the scope that is lacking
	allow    string // method_not_allowed: the methods there are
}

// Error implements error.
func (e *refusal) Error() string { return string(e.code) + ": " + e.message }

// Sentinels.
var (
	errCrossOrigin          = &refusal{code: CodeCrossOrigin, message: "requests from other sites are refused"}
	errUnauthorized         = &refusal{code: CodeUnauthorized, message: "a valid token is required"}
	errNotFound             = &refusal{code: CodeNotFound, message: "there is nothing at this address"}
	errRequestTimeout       = &refusal{code: CodeRequestTimeout, message: "the body did not arrive in time"}
	errUnsupportedMediaType = &refusal{code: CodeUnsupportedMediaType, message: "send application/json, without a content encoding"}
	errHostNotAllowed       = &refusal{code: CodeHostNotAllowed, message: "this host name is not served here"}
)

func methodNotAllowed(methods map[string]*operation) error {
	var names []string
	for name := range methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return &refusal{code: CodeMethodNotAllowed, message: "this address has another method", allow: strings.Join(names, ", ")}
}

// malformed is an invalid_request that is about no single member or parameter.
func malformed(sentence string) *service.Error {
	return &service.Error{Code: service.CodeInvalidRequest, Message: sentence}
}

// invalid is an invalid_request about a member or parameter. It names that as it was sent, if it
// looks like a name, and quotes nothing else of what was sent. A secret at a wrong place is no name: it
// would go on into the log.
func invalid(field, problem string) *service.Error {
	if service.CheckName("", field) != nil || service.LooksLikeToken(field) {
		return malformed("a member or parameter " + problem)
	}
	return service.Invalid(field, "%s", problem)
}

// retryAfter is what an answer says that asks for another attempt, in whole seconds: not before the time that is
// known, and never at once.
func retryAfter(known *service.Error) string {
	if known == nil {
		return "1"
	}
	return strconv.FormatInt(int64(max(1, math.Ceil(known.Facts.RetryAfter.Seconds()))), 10)
}

// fail answers a request that failed. All failures of all operations are written here, and what is
// worth a line in the log is logged here, once.
func (s *server) fail(x *exchange, r *http.Request, err error) {
	if x.status != 0 {
		s.logFailure(r.Context(), x, x.status, err) // half an answer is on its way, and cannot be taken back
		return
	}
	known, refused := classify(r.Context(), err)
	failure, status := s.noted(r.Context(), x, known, refused, err)
	if refused != nil && refused.allow != "" {
		x.Header().Set("Allow", refused.allow)
	}
	if refused != nil && refused.code == CodeUnauthorized {
		x.Header()["Www-Authenticate"] = s.challenge
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		x.Header().Set("Retry-After", retryAfter(known))
	}
	text, err := json.Marshal(&failure)
	if err != nil {
		// The sentence or a fact is not text. The code is what counts.
		text = []byte(`{"status":"failure","code":` + strconv.Quote(x.code) + `,"message":"failed"}`)
	}
	_ = x.send(status, text) // nobody is left to be told
}

// noted returns what is told of a failure, with its status, and logs it.
func (s *server) noted(
	ctx context.Context, x *exchange, known *service.Error, refused *refusal, err error,
) (failure wire.Failure, status int) {
	failure, status = failureOf(known, refused), http.StatusInternalServerError
	switch {
	case refused != nil:
		status = statusOfHTTP(refused.code)
	case known != nil:
		status = statusOf(known.Code)
	}
	s.logFailure(ctx, x, status, err)
	x.code = string(failure.Code)
	if status == http.StatusInternalServerError {
		id := x.id()
		failure.RequestID = &id
	}
	return failure, status
}

// classify finds out which kind of failure an error is: one of the two results is not nil.
func classify(ctx context.Context, err error) (*service.Error, *refusal) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return nil, refused
	}
	if known, ok := errors.AsType[*service.Error](err); ok {
		return known, nil
	}
	if routed, ok := errors.AsType[*echo.HTTPError](err); ok && routed.Code == http.StatusBadRequest {
		// Found while binding. What can be wrong is checked before; this is for what was forgotten.
		return malformed("a parameter is not valid"), nil
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		// The client went away, or looks like it: it may have closed its half of the connection
		// and still be reading. An empty answer would be a success to it.
		return service.ErrUnavailable.Because(err), nil
	}
	return service.ErrInternal.Because(err), nil
}

// logFailure logs what an operator should know of. Refusals are the clients' affair.
func (s *server) logFailure(ctx context.Context, x *exchange, status int, err error) {
	level := slog.LevelDebug
	p, panicked := errors.AsType[*panicError](err)
	switch {
	case status == http.StatusInternalServerError, panicked:
		level = slog.LevelError
	case ctx.Err() != nil:
	case status >= 500 && !errors.Is(err, service.ErrOverloaded):
		level = slog.LevelWarn
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id()), slog.String("operation", x.operation.name()), slog.Any("error", err),
	}
	if panicked {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	s.log.LogAttrs(ctx, level, "a request failed", attrs...)
}
