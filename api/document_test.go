package api_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

// codesOf reads the values of the constants of one type out of the source, so that a new code
// cannot be forgotten here.
func codesOf(t *testing.T, directory, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(directory, "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	})
	if len(values) < 5 {
		t.Fatalf("%s has only the codes %v", directory, values)
	}
	return values
}

// TestCodes: every code has a status, is in the document, and has that status there.
func TestCodes(t *testing.T) {
	t.Parallel()
	statuses := map[string]int{}
	for _, code := range codesOf(t, "../service", "Code") {
		statuses[code] = api.StatusOf(service.Code(code))
	}
	for _, code := range codesOf(t, ".", "Code") {
		if _, twice := statuses[code]; twice {
			t.Errorf("%s is a code of the broker and of HTTP", code)
		}
		statuses[code] = api.StatusOfHTTP(api.Code(code))
	}
	for code, status := range statuses {
		if (status == http.StatusInternalServerError) != (code == string(service.CodeInternal)) {
			t.Errorf("%s has status %d: is it missing in the table?", code, status)
		}
	}
	doc, err := wireserver.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var inEnum []string
	for _, v := range doc.Components.Schemas["FailureCode"].Value.Enum {
		inEnum = append(inEnum, fmt.Sprint(v))
	}
	slices.Sort(inEnum)
	if ours := slices.Sorted(maps.Keys(statuses)); !slices.Equal(ours, inEnum) {
		t.Errorf("codes here:       %v\nin the document: %v", ours, inEnum)
	}
	for id, o := range documented() {
		for code, status := range o.codes() {
			if statuses[code] != status {
				t.Errorf("%s: %s has status %d, the document says %d", id, code, statuses[code], status)
			}
		}
	}
}

// TestRoutes: what is routed is in the document, and what is in the document is routed.
func TestRoutes(t *testing.T) {
	t.Parallel()
	var want []string
	for _, o := range documented() {
		want = append(want, o.method+" "+o.path)
	}
	slices.Sort(want)
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	t.Cleanup(func() { _ = broker.Close(t.Context()) })
	if got := api.Routes(api.NewHandler(broker, api.Config{})); !slices.Equal(got, want) {
		t.Errorf("routes: %v\nin the document: %v", got, want)
	}
}

// TestDocumentIsServed: as it was written, and as JSON.
func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	written, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send(http.MethodGet, "/openapi.yaml", ""); got.text != string(written) {
		t.Error("/openapi.yaml is not openapi.yaml: run go generate ./gen")
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(w.send(http.MethodGet, "/openapi.json", "").text))
	if err != nil || doc.Info.Title != "topiq" {
		t.Errorf("/openapi.json: %v", err)
	}
}

// TestLimits: the maxima of the document are the defaults of the broker, and /info tells all.
func TestLimits(t *testing.T) {
	t.Parallel()
	l, c := service.DefaultLimits(), api.Config{}.WithDefaults()
	doc, err := wireserver.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	schema := func(name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	parameter := func(name string) *openapi3.Schema { return doc.Components.Parameters[name].Value.Schema.Value }
	member := func(of, name string) *openapi3.Schema { return schema(of).Properties[name].Value }
	base64Bytes := (l.MessageBytes + 2) / 3 * 4
	for what, pair := range map[string][2]int64{
		"message":        {int64(*schema("Text").MaxLength), l.MessageBytes},
		"message_base64": {int64(*schema("Bytes").MaxLength), base64Bytes},
		"name":           {int64(*schema("Name").MaxLength), service.MaxNameBytes},
		"incarnation":    {int64(*schema("Incarnation").MaxLength), service.MaxTokenBytes},
		"instance":       {int64(*member("RegisterProducerRequest", "instance").MaxLength), service.MaxTokenBytes},
		"messages":       {int64(*member("ProduceRequest", "messages").MaxItems), int64(l.Messages)},
		"headers":        {int64(*schema("Headers").MaxProps), int64(l.HeaderEntries)},
		"limit":          {int64(*parameter("Limit").Max), int64(l.ReadMessages)},
		"limit of lists": {int64(*parameter("Limit").Max), int64(l.ListEntries)},
		"max_bytes":      {int64(*parameter("MaxBytes").Max), l.ReadBytes},
		"wait":           {int64(*parameter("Wait").Max), int64(l.Wait / time.Second)},
		"POST limit":     {int64(*member("ConsumeRequest", "limit").Max), int64(l.ReadMessages)},
		"POST max_bytes": {int64(*member("ConsumeRequest", "max_bytes").Max), l.ReadBytes},
		"POST wait":      {int64(*member("ConsumeRequest", "wait").Max), int64(l.Wait / time.Second)},
		"integers":       {int64(*schema("Offset").Max), service.MaxInteger},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %d in the document, %d in the broker", what, pair[0], pair[1])
		}
	}
	// The example of /info shows the defaults.
	example := documented()["info"].Responses.Status(200).Value.Content["application/json"].Examples["info"].Value.Value
	shown := object(object(example)["limits"])
	w := newWorld(t, nothing(), service.Limits{},
		apitest.HTTP(api.Config{Connections: 25_000}))
	told := w.send(http.MethodGet, "/info", "").values["limits"]
	if !maps.Equal(shown, object(told)) {
		t.Errorf("/info tells\n%v, the document shows\n%v", told, shown)
	}
	if c.HeaderBytes != 16<<10 {
		t.Errorf("header block: %d", c.HeaderBytes)
	}
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func TestDefaultConnections(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{0: 25_000, 1 << 40: 25_000, 26_000: 25_000, 20_000: 19_000, 2000: 1000, 1024: 512, 1: 1} {
		if got := api.DefaultConnections(files); got != want {
			t.Errorf("%d open files: %d connections, want %d", files, got, want)
		}
	}
}

// TestDocs: the page needs nothing from elsewhere, and its policy allows what it needs.
func TestDocs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	page := w.send(http.MethodGet, "/docs", "")
	for _, wanted := range []string{`validatorUrl: null`, `"/openapi.json"`, `/docs/swagger-ui-bundle.js`} {
		if !strings.Contains(strings.ReplaceAll(page.text, `\/`, "/"), wanted) {
			t.Errorf("the page lacks %s", wanted)
		}
	}
	policy := page.header.Get("Content-Security-Policy")
	for _, wanted := range []string{"default-src 'none'", "script-src 'self' 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, wanted) {
			t.Errorf("the policy lacks %s: %s", wanted, policy)
		}
	}
	if strings.Contains(policy, "script-src 'self' 'unsafe-inline'") || strings.Count(policy, "sha256-") != strings.Count(page.text, "<script>") {
		t.Errorf("the policy does not name the scripts of the page: %s", policy)
	}
	for _, file := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png", ""} {
		r := w.send(http.MethodGet, "/docs/"+file, "")
		if r.status != http.StatusOK || r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("/docs/%s: %d %v", file, r.status, r.header)
		}
	}
	// Ranges and conditions are for what may be cached.
	whole := w.send(http.MethodGet, "/docs/swagger-ui.css", "").text
	for _, header := range [][]string{
		{"Range", "bytes=99999999-"},
		{"Range", "bytes=0-1"},
		{"If-Match", `"x"`},
		{"If-None-Match", "*"},
		{"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"},
	} {
		r := w.send(http.MethodGet, "/docs/swagger-ui.css", "", header...)
		if r.status != http.StatusOK || r.text != whole || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %d, %d bytes of %d, %v", header, r.status, len(r.text), len(whole), r.header)
		}
	}
	if r := w.send(http.MethodGet, "/docs/", ""); r.header.Get("Content-Security-Policy") != policy {
		t.Error("/docs/ has no policy")
	}
	// Swagger UI sends this when somebody tries a call on the page.
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		value := map[string]string{"Origin": w.URL, "Sec-Fetch-Site": "same-origin"}[header]
		if r := w.send(http.MethodPost, "/topics", fmt.Sprintf(`{"name":"from-%s"}`, header), header, value); r.status != http.StatusOK {
			t.Errorf("a call of the page answers %d %s", r.status, r.text)
		}
	}
}
