package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/gen/wireserver"
)

// operation is what the document says about one method of one path, as far as requests are
// checked by it.
type operation struct {
	id           string
	method, path string
	// pattern is both, as http.ServeMux would write them. Whoever has wrapped the handler finds it in the request.
	pattern string
	// query are the parameters of the query string, body the members of the JSON body; nil if
	// there are none.
	query, body map[string]*parameter
	// required are those of query that must be there, in the order of the document.
	required []string
	// templated says that the path has a parameter. No older client knows such paths.
	templated bool
	// counted is where its requests are counted.
	counted *metrics.Operation
	// rule is what a token must allow for it.
	rule rule
}

// parameter is one parameter, or one member of a body.
type parameter struct {
	kind     kind
	nonEmpty bool  // text: "" is refused
	least    int64 // integer
}

type kind int

const (
	other kind = iota // arrays and objects, in bodies only
	text
	integer
	moment // RFC 3339
)

// name is for logs; a request that is no operation has none.
func (o *operation) name() string {
	if o == nil {
		return ""
	}
	return o.id
}

// operations are the operations of the document.
type operations struct {
	exact     map[string]map[string]*operation // path → method
	templates []template
	all       []*operation // sorted by id
	codes     []string     // that failures may have
}

// wildcard stands for a parameter of a path, which is never empty.
const wildcard = "*"

type template struct {
	segments []string
	methods  map[string]*operation
}

// find returns the operation of a request, nil for a file of /docs, and not_found or
// method_not_allowed when there is none. It looks at the path as it was sent: an escaped slash is
// part of a name, not a separator, and such a name is refused later.
func (o *operations) find(r *http.Request) (*operation, error) {
	path := r.URL.EscapedPath()
	methods := o.exact[path]
	if methods == nil {
		methods = o.match(path)
	}
	if methods == nil && strings.HasPrefix(path, docsPrefix) {
		methods = map[string]*operation{http.MethodGet: nil, http.MethodHead: nil}
	}
	if methods == nil {
		return nil, errNotFound
	}
	found, ok := methods[r.Method]
	if !ok {
		return nil, methodNotAllowed(methods)
	}
	return found, nil
}

func (o *operations) match(path string) map[string]*operation {
	segments := strings.Split(path, "/")
	for i := range o.templates {
		t := &o.templates[i]
		if slices.EqualFunc(t.segments, segments, func(want, got string) bool {
			return want == got || want == wildcard && got != ""
		}) {
			return t.methods
		}
	}
	return nil
}

// The parts of the document that operations are made of.
type (
	documentPart struct {
		Paths      map[string]pathPart `json:"paths"`
		Components struct {
			Parameters map[string]parameterPart `json:"parameters"`
			Schemas    map[string]schemaPart    `json:"schemas"`
		} `json:"components"`
	}
	pathPart struct {
		Parameters []parameterPart `json:"parameters"`
		Get        *operationPart  `json:"get"`
		Put        *operationPart  `json:"put"`
		Post       *operationPart  `json:"post"`
		Patch      *operationPart  `json:"patch"`
		Delete     *operationPart  `json:"delete"`
	}
	operationPart struct {
		OperationID string          `json:"operationId"`
		Parameters  []parameterPart `json:"parameters"`
		RequestBody *struct {
			Content map[string]struct {
				Schema schemaPart `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
	}
	parameterPart struct {
		Ref      string     `json:"$ref"`
		Name     string     `json:"name"`
		In       string     `json:"in"`
		Required bool       `json:"required"`
		Schema   schemaPart `json:"schema"`
	}
	schemaPart struct {
		Ref        string                `json:"$ref"`
		Type       string                `json:"type"`
		Format     string                `json:"format"`
		MinLength  int                   `json:"minLength"`
		Minimum    jsontext.Value        `json:"minimum"`
		Properties map[string]schemaPart `json:"properties"`
		Enum       []jsontext.Value      `json:"enum"`
	}
)

func loadOperations() (*operations, error) {
	text, err := wireserver.GetSpecJSON()
	if err != nil {
		return nil, err
	}
	var d documentPart
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	o, rules := &operations{exact: map[string]map[string]*operation{}}, rules()
	for path, p := range d.Paths {
		methods := map[string]*operation{}
		for method, part := range map[string]*operationPart{
			http.MethodGet: p.Get, http.MethodPut: p.Put, http.MethodPost: p.Post,
			http.MethodPatch: p.Patch, http.MethodDelete: p.Delete,
		} {
			if part == nil {
				continue
			}
			if methods[method], err = d.operation(rules, method, path, p.Parameters, part); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			o.all = append(o.all, methods[method])
		}
		if get := methods[http.MethodGet]; get != nil && get.hasHead() {
			methods[http.MethodHead] = get
		}
		if !strings.Contains(path, "{") {
			o.exact[path] = methods
			continue
		}
		segments := strings.Split(path, "/")
		for i := range segments {
			if strings.HasPrefix(segments[i], "{") {
				segments[i] = wildcard
			}
		}
		o.templates = append(o.templates, template{segments, methods})
	}
	slices.SortFunc(o.all, func(a, b *operation) int { return strings.Compare(a.id, b.id) })
	for _, code := range d.Components.Schemas["FailureCode"].Enum {
		var text string
		if err := json.Unmarshal(code, &text); err != nil {
			return nil, fmt.Errorf("FailureCode: %w", err)
		}
		o.codes = append(o.codes, text)
	}
	return o, nil
}

// hasHead: load balancers ask these for the head alone.
func (o *operation) hasHead() bool { return o.id == "health" || o.id == "ready" }

func (d *documentPart) operation(
	rules map[string]rule, method, path string, shared []parameterPart, part *operationPart,
) (*operation, error) {
	o := &operation{
		id: part.OperationID, method: method, path: path, pattern: method + " " + path,
		templated: strings.Contains(path, "{"),
	}
	rule, ok := rules[o.id]
	if !ok {
		return nil, errors.New("nobody has said what a token must allow for it")
	}
	o.rule = rule
	for _, p := range append(slices.Clone(shared), part.Parameters...) {
		if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			p = d.Components.Parameters[name]
		}
		if p.In != "query" {
			continue
		}
		if o.query == nil {
			o.query = map[string]*parameter{}
		}
		made, err := d.parameter(p.Schema)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		o.query[p.Name] = made
		if p.Required {
			o.required = append(o.required, p.Name)
		}
	}
	if part.RequestBody == nil {
		return o, nil
	}
	schema := d.resolve(part.RequestBody.Content["application/json"].Schema)
	o.body = map[string]*parameter{}
	for name, property := range schema.Properties {
		made, err := d.parameter(property)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		o.body[name] = made
	}
	return o, nil
}

func (d *documentPart) resolve(s schemaPart) schemaPart {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

func (d *documentPart) parameter(s schemaPart) (*parameter, error) {
	s = d.resolve(s)
	p := &parameter{nonEmpty: s.MinLength > 0}
	switch {
	case s.Type == "integer":
		p.kind = integer
		if len(s.Minimum) > 0 {
			if err := json.Unmarshal(s.Minimum, &p.least); err != nil {
				return nil, err
			}
		}
	case s.Type == "string" && s.Format == "date-time":
		p.kind = moment
	case s.Type == "string":
		p.kind = text
	case s.Type == "array", s.Type == "object":
		p.kind = other
	default:
		return nil, fmt.Errorf("unknown type %q", s.Type)
	}
	return p, nil
}
