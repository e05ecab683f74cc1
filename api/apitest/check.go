package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Check returns a handler that passes everything on to handler, and fails the test when an answer,
// or a request that succeeded, is not what the document says that handler serves. anyRequest leaves
// requests out.
func Check(tb testing.TB, handler http.Handler, anyRequest bool) http.Handler {
	tb.Helper()
	document, err := documentOf(tb.Context(), handler)
	if err != nil {
		tb.Fatalf("the document: %v", err)
	}
	return &checker{tb: tb, next: handler, document: document, anyRequest: anyRequest}
}

type checker struct {
	tb         testing.TB
	next       http.Handler
	document   *document
	anyRequest bool
}

// document is a document with its routes.
type document struct {
	doc    *openapi3.T
	router routers.Router
}

// documents remembers the documents that were loaded, by their text: that takes as long as a test.
//
//nolint:gochecknoglobals // a cache
var documents sync.Map

func documentOf(ctx context.Context, handler http.Handler) (*document, error) {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/openapi.yaml", http.NoBody))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("/openapi.yaml answers %d: %s", w.Code, w.Body)
	}
	text := w.Body.String()
	if known, ok := documents.Load(text); ok {
		loaded, _ := known.(*document) // nothing else is stored
		return loaded, nil
	}
	loaded, err := loadDocument([]byte(text))
	if err == nil {
		documents.Store(text, loaded)
	}
	return loaded, err
}

func loadDocument(text []byte) (*document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	doc.Servers = nil // any host
	closeSchemas(doc)
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	return &document{doc, router}, nil
}

// closeSchemas makes an answer fail that has a member which the document does not know. Clients
// have to ignore such members; the broker has no business sending them.
func closeSchemas(doc *openapi3.T) {
	no := false
	for _, s := range doc.Components.Schemas {
		if v := s.Value; len(v.Properties) > 0 && v.AdditionalProperties.Has == nil && v.AdditionalProperties.Schema == nil {
			v.AdditionalProperties.Has = &no
		}
	}
}

// ServeHTTP implements http.Handler.
func (c *checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &answer{ResponseWriter: w}
	var sent bytes.Buffer
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &sent), r.Body}
	}
	c.next.ServeHTTP(answer, r)
	// The handler has read the body, so nothing that it does with it is disturbed.
	if err := c.check(r, sent.Bytes(), answer); err != nil {
		c.tb.Errorf("%s %s answered %d %s\nwhich is not what the document says: %v",
			r.Method, r.URL, answer.status, shorten(answer.body.Bytes()), err)
	}
}

func shorten(b []byte) []byte {
	if len(b) > 2000 {
		return append(b[:2000:2000], " …"...)
	}
	return b
}

func (c *checker) check(r *http.Request, sent []byte, a *answer) error {
	if a.status == 0 {
		return errors.New("there is no answer")
	}
	if got := a.Header().Get("Cache-Control"); got != "no-store" && (got != "no-store, no-transform" || !a.isStream()) {
		return fmt.Errorf("Cache-Control: %q", got)
	}
	if r.Method == http.MethodHead {
		r = r.Clone(r.Context())
		r.Method = http.MethodGet // the same answer, of which net/http keeps the body to itself
	}
	route, params, err := c.document.router.FindRoute(r)
	// The router takes an empty segment for a name. Two codes can come from any address.
	if err != nil || a.status == http.StatusMethodNotAllowed || a.code() == "not_found" {
		return c.checkUnrouted(r, a)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r.Clone(context.WithoutCancel(r.Context())), PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
			SkipSettingDefaults: true, RejectWhenRequestBodyNotSpecified: true, MultiError: true,
		},
	}
	if a.status < 300 && !c.anyRequest {
		input.Request.Body = io.NopCloser(bytes.NewReader(sent))
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return fmt.Errorf("the request %s: %w", shorten(sent), err)
		}
	}
	contentType, _, _ := strings.Cut(a.Header().Get("Content-Type"), ";")
	header := a.Header().Clone()
	header.Set("Content-Type", contentType)
	input.Options.ExcludeResponseBody = contentType != "application/json"
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: header,
		Body: io.NopCloser(bytes.NewReader(a.body.Bytes())), Options: input.Options,
	})
	if err == nil && a.isStream() {
		err = c.document.checkEvents(a.body.String())
	}
	if err != nil || a.status < 300 {
		return err
	}
	return checkCode(route.Operation.Responses.Status(a.status), a)
}

// checkCode finds out whether the document knows this code for this answer. It has one example for
// each, named like the code.
func checkCode(response *openapi3.ResponseRef, a *answer) error {
	if response.Value.Content["application/json"].Examples[a.code()] == nil {
		return fmt.Errorf("code %q is not documented for this status", a.code())
	}
	return nil
}

// checkUnrouted checks an answer to what the document does not describe: a file of /docs, or a
// failure that any address may give.
func (c *checker) checkUnrouted(r *http.Request, a *answer) error {
	if a.status < 300 {
		preflight := r.Method == http.MethodOptions && a.status == http.StatusNoContent && a.body.Len() == 0
		if preflight || strings.HasPrefix(r.URL.Path, "/docs/") {
			return nil
		}
		return errors.New("there is no such operation, and it succeeded")
	}
	var v any
	if err := json.Unmarshal(a.body.Bytes(), &v); err != nil {
		return err
	}
	if err := c.document.doc.Components.Schemas["Failure"].Value.VisitJSON(v, openapi3.VisitAsResponse()); err != nil {
		return err
	}
	anywhere := []string{"not_found", "method_not_allowed", "invalid_request", "host_not_allowed", "cross_origin", "internal"}
	if !slices.Contains(anywhere, a.code()) {
		return fmt.Errorf("code %q for an unknown address", a.code())
	}
	return nil
}

// answer keeps a copy of an answer.
type answer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.body.Write(b)
	return a.ResponseWriter.Write(b)
}

// code returns the code of a failure, "" if it has none.
func (a *answer) code() string {
	if a.status < 300 {
		return ""
	}
	var failure struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body.Bytes(), &failure) // then it has none
	return failure.Code
}
