package gen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireserver"
)

const documentPath = "../openapi.yaml"

// serverWide are the codes that no operation can answer: the router does, when
// there is no operation for the address or the method.
var serverWide = []wire.FailureCode{
	wire.FailureCodeNotFound,
	wire.FailureCodeMethodNotAllowed,
}

// statusOf says which HTTP status each code has. It is the table of the
// document's readers; api/errors.go has its own, and a test there compares it
// with what the document says.
var statusOf = map[string][]wire.FailureCode{
	"400": {wire.FailureCodeInvalidRequest},
	"401": {wire.FailureCodeUnauthorized},
	"403": {wire.FailureCodeForbidden, wire.FailureCodeCrossOrigin},
	"404": {
		wire.FailureCodeTopicNotFound, wire.FailureCodeProducerNotFound, wire.FailureCodeConsumerNotFound,
		wire.FailureCodeNoMessage, wire.FailureCodeNotFound,
	},
	"405": {wire.FailureCodeMethodNotAllowed},
	"408": {wire.FailureCodeRequestTimeout},
	"409": {
		wire.FailureCodeTopicExists, wire.FailureCodeProducerFenced, wire.FailureCodeUnknownEpoch,
		wire.FailureCodeSeqGap, wire.FailureCodeIncarnationChanged, wire.FailureCodeOffsetBehind,
	},
	"410": {wire.FailureCodeOffsetTrimmed},
	"412": {wire.FailureCodeAppendConflict},
	"413": {wire.FailureCodeMessageTooLarge, wire.FailureCodeRequestTooLarge},
	"415": {wire.FailureCodeUnsupportedMediaType},
	"416": {wire.FailureCodeOffsetOutOfRange},
	"421": {wire.FailureCodeHostNotAllowed},
	"422": {wire.FailureCodeSeqReused},
	"429": {wire.FailureCodeRateLimited},
	"500": {wire.FailureCodeInternal},
	"503": {wire.FailureCodeOverloaded, wire.FailureCodeUnavailable, wire.FailureCodeOutcomeUnknown},
	"507": {wire.FailureCodeStorageFull},
}

// codeInText finds `like_this`, which is how descriptions write codes.
var codeInText = regexp.MustCompile("`([a-z_]+)`")

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations returns the operations of the document, each with its method and path.
func operations(doc *openapi3.T) iter.Seq2[string, *openapi3.Operation] {
	return func(yield func(string, *openapi3.Operation) bool) {
		for _, path := range doc.Paths.InMatchingOrder() {
			for method, op := range doc.Paths.Value(path).Operations() {
				if !yield(method+" "+path, op) {
					return
				}
			}
		}
	}
}

// codes answers the values of the FailureCode enum.
func codes(t *testing.T, doc *openapi3.T) []string {
	t.Helper()
	var all []string
	for _, v := range doc.Components.Schemas["FailureCode"].Value.Enum {
		all = append(all, fmt.Sprint(v))
	}
	if len(all) == 0 {
		t.Fatal("FailureCode has no values")
	}
	return all
}

// TestNothingIsFilledIn: generated clients send defaults, and Swagger UI sends examples, as if
// somebody had asked for them.
func TestNothingIsFilledIn(t *testing.T) {
	t.Parallel()
	doc := document(t)
	for name, schema := range doc.Components.Schemas {
		for member, v := range schema.Value.Properties {
			if v.Value.Default != nil {
				t.Errorf("%s.%s has a default", name, member)
			}
		}
	}
	for where, op := range operations(doc) {
		for _, p := range op.Parameters {
			if p.Value.Schema.Value.Default != nil {
				t.Errorf("%s: parameter %s has a default", where, p.Value.Name)
			}
			if !p.Value.Required && (p.Value.Example != nil || len(p.Value.Examples) > 0) {
				t.Errorf("%s: parameter %s is optional and has an example", where, p.Value.Name)
			}
		}
	}
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := document(t)
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("openapi: %s, want 3.0.3", doc.OpenAPI)
	}
}

func TestOperationsAreDescribed(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for where, op := range operations(document(t)) {
		if op.OperationID == "" || ids[op.OperationID] {
			t.Errorf("%s: operationId %q is empty or used twice", where, op.OperationID)
		}
		ids[op.OperationID] = true
		if len(op.Tags) != 1 {
			t.Errorf("%s: tags: %v, want one", where, op.Tags)
		}
		if op.Summary == "" || op.Description == "" {
			t.Errorf("%s: summary or description is missing", where)
		}
		for _, p := range op.Parameters {
			if p.Value.Description == "" {
				t.Errorf("%s: parameter %s has no description", where, p.Value.Name)
			}
		}
		if op.RequestBody != nil {
			checkContent(t, where+", request", op.RequestBody.Value.Content, "application/json")
		}
		for status, r := range op.Responses.Map() {
			if status == "200" {
				checkContent(t, where+", "+status, r.Value.Content, "")
				continue
			}
			checkContent(t, where+", "+status, r.Value.Content, "application/json")
		}
	}
}

// checkContent fails unless there is exactly one content type, with an example.
func checkContent(t *testing.T, what string, content openapi3.Content, wantType string) {
	t.Helper()
	if len(content) != 1 {
		t.Errorf("%s: %d content types, want one", what, len(content))
	}
	for name, media := range content {
		if wantType != "" && name != wantType {
			t.Errorf("%s: content type %s, want %s", what, name, wantType)
		}
		if media.Example == nil && len(media.Examples) == 0 {
			t.Errorf("%s: no example", what)
		}
	}
}

// TestFailureCodes checks that text, examples, enum and table agree: the codes
// that a failure's description names are exactly those of its examples, and
// each belongs to the status.
func TestFailureCodes(t *testing.T) {
	t.Parallel()
	doc := document(t)
	known := codes(t, doc)
	used := map[string]bool{}
	for _, c := range serverWide {
		used[string(c)] = true
	}
	for where, op := range operations(doc) {
		for status, r := range op.Responses.Map() {
			if status == "200" {
				continue
			}
			named := map[string]bool{}
			for _, m := range codeInText.FindAllStringSubmatch(*r.Value.Description, -1) {
				if slices.Contains(known, m[1]) {
					named[m[1]] = true
					used[m[1]] = true
				}
			}
			if len(named) == 0 {
				t.Errorf("%s: %s: the description names no code", where, status)
			}
			shown := map[string]bool{}
			for name, ex := range r.Value.Content["application/json"].Examples {
				code, _ := ex.Value.Value.(map[string]any)["code"].(string)
				if code != name {
					t.Errorf("%s: %s: example %s has code %q", where, status, name, code)
				}
				shown[code] = true
			}
			if !maps.Equal(named, shown) {
				t.Errorf("%s: %s: the description names %v, the examples show %v", where, status, named, shown)
			}
			for code := range named {
				if !slices.Contains(statusOf[status], wire.FailureCode(code)) {
					t.Errorf("%s: %s: %s does not belong to this status", where, status, code)
				}
			}
		}
	}
	for _, code := range known {
		if !used[code] {
			t.Errorf("no operation answers %s", code)
		}
	}
	var inTable []string
	for _, cs := range statusOf {
		for _, c := range cs {
			inTable = append(inTable, string(c))
		}
	}
	slices.Sort(inTable)
	if want := slices.Sorted(slices.Values(known)); !slices.Equal(inTable, want) {
		t.Errorf("table of statuses has\n%v, the enum has\n%v", inTable, want)
	}
}

// TestSchemasAreFlat keeps what generators of other languages stumble over out
// of the document, and requests closed.
func TestSchemasAreFlat(t *testing.T) {
	t.Parallel()
	doc := document(t)
	for name, s := range doc.Components.Schemas {
		if v := s.Value; len(v.OneOf)+len(v.AnyOf)+len(v.AllOf) > 0 || v.Not != nil {
			t.Errorf("%s is not flat", name)
		}
		for prop, p := range s.Value.Properties {
			if v := p.Value; len(v.OneOf)+len(v.AnyOf)+len(v.AllOf) > 0 || v.Not != nil {
				t.Errorf("%s.%s is not flat", name, prop)
			}
			checkInteger(t, name+"."+prop, p.Value)
			if p.Ref == "" && p.Value.Type.Is("object") {
				t.Errorf("%s.%s is an object without a name", name, prop)
			}
		}
		checkInteger(t, name, s.Value)
		if closed := s.Value.AdditionalProperties.Has; strings.HasSuffix(name, "Request") && (closed == nil || *closed) {
			t.Errorf("%s accepts unknown members", name)
		}
	}
	for where, op := range operations(doc) {
		for _, p := range op.Parameters {
			checkInteger(t, where+", "+p.Value.Name, p.Value.Schema.Value)
		}
	}
}

// checkInteger fails if v is an integer that some language cannot read exactly.
func checkInteger(t *testing.T, name string, v *openapi3.Schema) {
	t.Helper()
	if !v.Type.Is("integer") {
		return
	}
	if v.Format != "int64" || v.Min == nil || *v.Min < -1 || v.Max == nil || *v.Max > 1<<53-1 {
		t.Errorf("%s: integers are int64 from 0 to 2^53-1", name)
	}
}

// TestExamplesFitTheGeneratedTypes decodes examples of requests and answers
// into the Go types and back: nothing gets lost on the way.
func TestExamplesFitTheGeneratedTypes(t *testing.T) {
	t.Parallel()
	types := map[string]func() any{
		"ConsumeRequest":            func() any { return new(wire.ConsumeRequest) },
		"ConsumeResult":             func() any { return new(wire.ConsumeResult) },
		"ConsumerResult":            func() any { return new(wire.ConsumerResult) },
		"CountProducedResult":       func() any { return new(wire.CountProducedResult) },
		"CountUnreadResult":         func() any { return new(wire.CountUnreadResult) },
		"CreateTokenRequest":        func() any { return new(wire.CreateTokenRequest) },
		"CreateTokenResult":         func() any { return new(wire.CreateTokenResult) },
		"CreateTopicRequest":        func() any { return new(wire.CreateTopicRequest) },
		"CreateTopicResult":         func() any { return new(wire.CreateTopicResult) },
		"DeleteTopicResult":         func() any { return new(wire.DeleteTopicResult) },
		"Failure":                   func() any { return new(wire.Failure) },
		"HealthResult":              func() any { return new(wire.HealthResult) },
		"InfoResult":                func() any { return new(wire.InfoResult) },
		"ListConsumersResult":       func() any { return new(wire.ListConsumersResult) },
		"ListProducersResult":       func() any { return new(wire.ListProducersResult) },
		"ListTokensResult":          func() any { return new(wire.ListTokensResult) },
		"ListTopicsResult":          func() any { return new(wire.ListTopicsResult) },
		"ProduceRequest":            func() any { return new(wire.ProduceRequest) },
		"ProduceResult":             func() any { return new(wire.ProduceResult) },
		"ProducerResult":            func() any { return new(wire.ProducerResult) },
		"ReadMessagesResult":        func() any { return new(wire.ReadMessagesResult) },
		"RegisterConsumerRequest":   func() any { return new(wire.RegisterConsumerRequest) },
		"RegisterConsumerResult":    func() any { return new(wire.RegisterConsumerResult) },
		"RegisterProducerRequest":   func() any { return new(wire.RegisterProducerRequest) },
		"RegisterProducerResult":    func() any { return new(wire.RegisterProducerResult) },
		"RevokeTokenResult":         func() any { return new(wire.RevokeTokenResult) },
		"SetOffsetRequest":          func() any { return new(wire.SetOffsetRequest) },
		"SetOffsetResult":           func() any { return new(wire.SetOffsetResult) },
		"TopicResult":               func() any { return new(wire.TopicResult) },
		"UnregisterConsumerRequest": func() any { return new(wire.UnregisterConsumerRequest) },
		"UnregisterConsumerResult":  func() any { return new(wire.UnregisterConsumerResult) },
		"UnregisterProducerRequest": func() any { return new(wire.UnregisterProducerRequest) },
		"UnregisterProducerResult":  func() any { return new(wire.UnregisterProducerResult) },
		"UpdateTopicRequest":        func() any { return new(wire.UpdateTopicRequest) },
	}
	check := func(content openapi3.Content) {
		media := content["application/json"]
		if media == nil || media.Schema.Ref == "" {
			return
		}
		name := strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")
		newValue := types[name]
		if newValue == nil {
			t.Errorf("%s is missing in this test", name)
			return
		}
		for key, ex := range media.Examples {
			want, err := json.Marshal(ex.Value.Value)
			if err != nil {
				t.Fatal(err)
			}
			v := newValue()
			dec := json.NewDecoder(bytes.NewReader(want))
			dec.DisallowUnknownFields()
			if err := dec.Decode(v); err != nil {
				t.Errorf("%s %s: %v", name, key, err)
				continue
			}
			got, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, got, want) {
				t.Errorf("%s %s:\ngot  %s\nwant %s", name, key, got, want)
			}
		}
	}
	for _, op := range operations(document(t)) {
		if op.RequestBody != nil {
			check(op.RequestBody.Value.Content)
		}
		for _, r := range op.Responses.Map() {
			check(r.Value.Content)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// TestEmptyIsNotAbsent: an empty message is a message, and an empty answer of a
// consume with parameters still has its array.
func TestEmptyIsNotAbsent(t *testing.T) {
	t.Parallel()
	var text wire.Text
	blob := wire.Bytes{}
	for _, c := range []struct {
		v    any
		want string
	}{
		{wire.ProduceMessage{}, `{}`},
		{wire.ProduceMessage{Message: &text}, `{"message":""}`},
		{wire.ProduceMessage{MessageBase64: &blob}, `{"message_base64":""}`},
		{wire.ConsumeResult{}, `{"incarnation":"","offset":0,"status":""}`},
		{
			wire.ConsumeResult{Messages: []wire.LogMessage{}},
			`{"incarnation":"","messages":[],"offset":0,"status":""}`,
		},
	} {
		got, err := json.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestEmbeddedDocument: the copy inside the server package is this document.
func TestEmbeddedDocument(t *testing.T) {
	t.Parallel()
	embedded, err := wireserver.GetSpecJSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := document(t).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(t, embedded, doc) {
		t.Error("the embedded document differs from openapi.yaml: run go generate ./gen")
	}
}

// TestClientStaysLight: a user of the client compiles no server and no
// validator.
func TestClientStaysLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./wireclient").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"labstack/echo", "getkin/kin-openapi", "yaml"} {
			if strings.Contains(dep, heavy) {
				t.Errorf("wireclient needs %s", dep)
			}
		}
	}
}

// TestDocumentHasNoTabs: YAML forbids them for indentation, and some tools
// forget to say so.
func TestDocumentHasNoTabs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsRune(text, '\t') {
		t.Error("openapi.yaml contains a tab")
	}
}
