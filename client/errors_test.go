package client

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// sentinels has the sentinel of every code. TestEveryCodeHasASentinel compares it with the generated enum.
func sentinels() map[wire.FailureCode]error {
	return map[wire.FailureCode]error{
		wire.FailureCodeAppendConflict:       ErrAppendConflict,
		wire.FailureCodeConsumerNotFound:     ErrConsumerNotFound,
		wire.FailureCodeCrossOrigin:          ErrCrossOrigin,
		wire.FailureCodeForbidden:            ErrForbidden,
		wire.FailureCodeHostNotAllowed:       ErrHostNotAllowed,
		wire.FailureCodeIncarnationChanged:   ErrIncarnationChanged,
		wire.FailureCodeInternal:             ErrInternal,
		wire.FailureCodeInvalidRequest:       ErrInvalidRequest,
		wire.FailureCodeMessageTooLarge:      ErrMessageTooLarge,
		wire.FailureCodeMethodNotAllowed:     ErrMethodNotAllowed,
		wire.FailureCodeNoMessage:            ErrNoMessage,
		wire.FailureCodeNotFound:             ErrNotFound,
		wire.FailureCodeOffsetBehind:         ErrOffsetBehind,
		wire.FailureCodeOffsetOutOfRange:     ErrOffsetOutOfRange,
		wire.FailureCodeOffsetTrimmed:        ErrOffsetTrimmed,
		wire.FailureCodeOutcomeUnknown:       ErrOutcomeUnknown,
		wire.FailureCodeOverloaded:           ErrOverloaded,
		wire.FailureCodeProducerFenced:       ErrProducerFenced,
		wire.FailureCodeProducerNotFound:     ErrProducerNotFound,
		wire.FailureCodeRateLimited:          ErrRateLimited,
		wire.FailureCodeRequestTimeout:       ErrRequestTimeout,
		wire.FailureCodeRequestTooLarge:      ErrRequestTooLarge,
		wire.FailureCodeSeqGap:               ErrSeqGap,
		wire.FailureCodeSeqReused:            ErrSeqReused,
		wire.FailureCodeStorageFull:          ErrStorageFull,
		wire.FailureCodeTopicExists:          ErrTopicExists,
		wire.FailureCodeTopicNotFound:        ErrTopicNotFound,
		wire.FailureCodeUnauthorized:         ErrUnauthorized,
		wire.FailureCodeUnavailable:          ErrUnavailable,
		wire.FailureCodeUnknownEpoch:         ErrUnknownEpoch,
		wire.FailureCodeUnsupportedMediaType: ErrUnsupportedMediaType,
	}
}

// generatedCodes reads the enum from the generated file, for Go cannot list the constants of a type.
func generatedCodes(t *testing.T) (codes []wire.FailureCode) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../gen/wire/wire.gen.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "FailureCode" {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0])
		}
		code, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, wire.FailureCode(code))
		return true
	})
	return codes
}

func TestEveryCodeHasASentinel(t *testing.T) {
	t.Parallel()
	codes := generatedCodes(t)
	if len(codes) < 31 || len(codes) != len(sentinels()) {
		t.Errorf("%d codes, %d sentinels", len(codes), len(sentinels()))
	}
	for _, code := range codes {
		own, ok := sentinels()[code]
		if !ok {
			t.Errorf("%s has no sentinel", code)
			continue
		}
		c, _ := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusConflict, refuse(0, code).Failure)
		}), nil)
		err := fmt.Errorf("wrapped: %w", c.CreateTopic(t.Context(), "x"))
		for other, sentinel := range sentinels() {
			if errors.Is(err, sentinel) != (own == sentinel) { //nolint:errorlint // the very same
				t.Errorf("%s: is it %s? %t", code, other, errors.Is(err, sentinel))
			}
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != string(code) || e.Status != http.StatusConflict {
			t.Errorf("%s: %+v", code, e)
		}
	}
}

func TestFactsAreDecoded(t *testing.T) {
	t.Parallel()
	n, s := int64(7), "fact"
	c, _ := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "2")
		writeJSON(w, http.StatusForbidden, wire.Failure{
			Status: "failure", Code: "a_new_code", Message: "sentence", Epoch: &n, ExpectedSeq: &n, Field: &s,
			FirstOffset: &n, Incarnation: &s, MaxBytes: &n, NextOffset: &n, Offset: &n, RequestID: &s,
			Required: &s, Seq: &n,
		})
	}), nil)
	_, err := c.Info(t.Context())
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatal(err)
	}
	for _, fact := range []*int64{e.Epoch, e.ExpectedSeq, e.FirstOffset, e.MaxBytes, e.NextOffset, e.Offset, e.Seq} {
		if fact == nil || *fact != n {
			t.Errorf("a number is missing: %+v", e)
		}
	}
	if e.Field != s || e.Incarnation != s || e.RequestID != s || e.Required != s {
		t.Errorf("a string is missing: %+v", e)
	}
	if e.RetryAfter != 2*time.Second || e.Temporary() || e.Error() != "topiq: info: a_new_code: sentence" {
		t.Errorf("%v after %s", e, e.RetryAfter)
	}
}

// What may be repeated is, what may not is not (contract section 2).
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path     string
		call     func(ctx context.Context, c *Client) error
		repeated bool
	}{
		"create topic": {"/topics", func(ctx context.Context, c *Client) error { return c.CreateTopic(ctx, "new") }, false},
		"delete topic": {"/topics/orders", func(ctx context.Context, c *Client) error { return c.DeleteTopic(ctx, "orders") }, false},
		"register producer": {"/producer/register", func(ctx context.Context, c *Client) error {
			_, err := c.Producer(ctx, "orders")
			return err
		}, false},
		"register named producer": {"/producer/register", func(ctx context.Context, c *Client) error {
			_, err := c.Producer(ctx, "orders", Name("shop"))
			return err
		}, true},
		"register consumer": {"/consumer/register", func(ctx context.Context, c *Client) error {
			_, err := c.Consumer(ctx, []string{"orders"})
			return err
		}, false},
		"register named consumer": {"/consumer/register", func(ctx context.Context, c *Client) error {
			_, err := c.Consumer(ctx, []string{"orders"}, Name("billing"))
			return err
		}, true},
	} {
		for _, kind := range []fault{faultReply, faultLost, fault500, fault503, faultShort, faultNoDial, fault429} {
			t.Run(fmt.Sprint(name, kind), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c, l := connect(t, newFake("orders"), faultsOf(row.path, kind))
					err := row.call(t.Context(), c)
					want := 1
					if row.repeated || kind == faultNoDial || kind == fault429 {
						want = 2
					}
					if n := len(l.to(row.path)); n != want {
						t.Errorf("%d requests, want %d: %v", n, want, err)
					}
					if want == 1 && !errors.Is(err, ErrOutcomeUnknown) {
						t.Errorf("%v", err)
					}
				})
			})
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	always := func(*request) fault { return faultNoDial }
	t.Run("with the attempts", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, l := connect(t, newFake(), always, WithRetry(Retry{Attempts: 5, Base: time.Second, Max: 3 * time.Second}))
			start := time.Now()
			_, err := c.Info(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || !e.Temporary() || errors.Is(err, ErrOutcomeUnknown) {
				t.Error(err)
			}
			// 1 + 2 + 3 + 3 s, each shortened by up to one half.
			if d := time.Since(start); len(l.to("/info")) != 5 || d > 9*time.Second || d < 9*time.Second/2 {
				t.Errorf("%d attempts in %s", len(l.to("/info")), d)
			}
		})
	})
	t.Run("with the context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, _ := connect(t, newFake(), always, WithRetry(Retry{Base: time.Minute}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Info(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		})
	})
}
