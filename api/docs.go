package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5/static"
	"github.com/swaggest/swgui/v5emb"

	"github.com/topiq/topiq/gen"
	"github.com/topiq/topiq/gen/wireserver"
)

// docsPrefix is where the files of /docs are. They are not operations, so echo has no route there.
const docsPrefix = "/docs/"

// docs is the document as a web page. All of it comes out of the binary.
type docs struct {
	assets http.Handler
	page   file
}

func newDocs() *docs {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "topiq", SwaggerJSON: "/openapi.json", BasePath: docsPrefix,
		SettingsUI: map[string]string{"validatorUrl": "null"},
	})
	// The page is the same for everybody. It is rendered once, so that the policy can allow the
	// scripts in it by their hashes, and no others.
	var page rendered
	ui.ServeHTTP(&page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docsPrefix}})
	scripts := []string{"'self'"}
	for _, script := range inline(page.String(), "script") {
		sum := sha256.Sum256([]byte(script))
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	policy := strings.Join([]string{
		"default-src 'none'", "script-src " + strings.Join(scripts, " "),
		"style-src 'self' 'unsafe-inline'", "img-src 'self' data:", "font-src 'self' data:", "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
	return &docs{assets: ui, page: file{"text/html; charset=utf-8", policy, page.Bytes()}}
}

// serve answers the files of the page, always whole: ranges and conditions are for what is cached.
func (d *docs) serve(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, docsPrefix)
	if name == "" {
		return d.page.send(w)
	}
	// They are stored compressed. What is not there is answered like everything that is not there.
	for _, stored := range []string{name, name + ".gz"} {
		if info, err := fs.Stat(static.FS, stored); err == nil && !info.IsDir() {
			plain := *r
			plain.Header = http.Header{"Accept-Encoding": r.Header["Accept-Encoding"]}
			d.assets.ServeHTTP(w, &plain)
			return nil
		}
	}
	return errNotFound
}

// rendered is a response writer that keeps the body.
type rendered struct {
	bytes.Buffer
	header http.Header
}

// Header implements http.ResponseWriter.
func (r *rendered) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter.
func (*rendered) WriteHeader(int) {}

// inline returns what stands between the tags of a page that have no attributes.
func inline(page, tag string) (texts []string) {
	for {
		_, rest, found := strings.Cut(page, "<"+tag+">")
		if !found {
			return texts
		}
		text, rest, _ := strings.Cut(rest, "</"+tag+">")
		texts = append(texts, text)
		page = rest
	}
}

// file is an answer that is no JSON value: a content type, a policy or "", and the bytes.
type file struct {
	contentType, policy string
	content             []byte
}

func (f *file) send(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.content)))
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
	}
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(f.content)
	return err
}

// VisitDocsResponse implements wireserver.DocsResponseObject.
func (f *file) VisitDocsResponse(w http.ResponseWriter) error { return f.send(w) }

// VisitDocumentYAMLResponse implements wireserver.DocumentYAMLResponseObject.
func (f *file) VisitDocumentYAMLResponse(w http.ResponseWriter) error { return f.send(w) }

// VisitDocumentJSONResponse implements wireserver.DocumentJSONResponseObject.
func (f *file) VisitDocumentJSONResponse(w http.ResponseWriter) error { return f.send(w) }

// Docs implements wireserver.StrictServerInterface.
func (h *handlers) Docs(context.Context, wireserver.DocsRequestObject) (wireserver.DocsResponseObject, error) {
	return &h.docs.page, nil
}

// DocumentYAML implements wireserver.StrictServerInterface.
func (*handlers) DocumentYAML(context.Context, wireserver.DocumentYAMLRequestObject) (wireserver.DocumentYAMLResponseObject, error) {
	return &file{contentType: "application/yaml", content: gen.Document}, nil
}

// DocumentJSON implements wireserver.StrictServerInterface.
func (*handlers) DocumentJSON(context.Context, wireserver.DocumentJSONRequestObject) (wireserver.DocumentJSONResponseObject, error) {
	text, err := wireserver.GetSpecJSON()
	if err != nil {
		return nil, fmt.Errorf("the embedded document: %w", err)
	}
	return &file{contentType: "application/json", content: text}, nil
}

// VisitMetricsResponse implements wireserver.MetricsResponseObject.
func (f *file) VisitMetricsResponse(w http.ResponseWriter) error { return f.send(w) }
