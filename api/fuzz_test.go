package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// fuzzRenewal is about how many requests one broker gets: what they store would fill the memory.
const fuzzRenewal = 20_000

// fuzzed is the handler that a target tries its inputs on.
type fuzzed struct {
	handler http.Handler
	broker  *service.Broker
	tried   int
}

// begin makes sure that there is a broker for one input, and one only: what an input has made is there
// until it has ended.
func (f *fuzzed) begin(t *testing.T) {
	t.Helper()
	if f.broker == nil || f.tried >= fuzzRenewal {
		f.renew(t)
		f.tried = 0
	}
}

// try sends a request to a broker with a topic, a named producer and a consumer. Whatever the request is,
// the answer must be one that the document describes, and no fault of the broker.
func (f *fuzzed) try(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	f.tried++
	answer := httptest.NewRecorder()
	apitest.Check(t, f.handler, true).ServeHTTP(answer, r)
	if answer.Code >= http.StatusInternalServerError {
		t.Errorf("%s %s: %d %s", r.Method, r.URL, answer.Code, answer.Body)
	}
	return answer
}

func (f *fuzzed) renew(t *testing.T) {
	t.Helper()
	f.close(t)
	store := memory.New(memory.Config{Random: func() uint64 { return 0 }})
	f.broker = service.NewBroker(store, service.Config{
		// A long poll that waits would be the end of fuzzing.
		Limits: service.Limits{RequestBytes: 1 << 16, MessageBytes: 1 << 14, Wait: time.Nanosecond},
	})
	f.handler = api.NewHandler(f.broker, api.Config{})
	producer, _, err := f.broker.RegisterProducer(t.Context(), "orders", "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.broker.Produce(t.Context(), service.ProduceRequest{
		Topic: "orders", Producer: producer.ID, Seq: new(int64),
		Payloads: []service.Payload{{Bytes: []byte("zero")}, {Bytes: []byte("one")}, {Bytes: []byte("two")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.broker.RegisterConsumer(t.Context(), "orders", "", service.FromBeginning); err != nil {
		t.Fatal(err)
	}
}

func (f *fuzzed) close(tb testing.TB) {
	tb.Helper()
	if f.broker == nil {
		return
	}
	if err := f.broker.Close(context.WithoutCancel(tb.Context())); err != nil {
		tb.Error(err)
	}
}

// sampleIDs are the ids of what is in every such broker: a producer and a consumer of "orders".
const sampleProducer, sampleConsumer = 497, 753

// seed is a bad input, taken apart.
type seed struct {
	method, path, query string
	body                []byte
}

// seeds are the bad inputs that are small enough.
func seeds() []seed {
	var list []seed
	for _, input := range badInputs(sampleProducer, sampleProducer, sampleConsumer) {
		head, body, _ := strings.Cut(input.text, "\r\n\r\n")
		line, _, _ := strings.Cut(head, "\r\n")
		method, rest, _ := strings.Cut(line, " ")
		target := strings.TrimSuffix(rest, " HTTP/1.1")
		path, query, _ := strings.Cut(target, "?")
		if len(body)+len(target) < 4096 {
			list = append(list, seed{method, path, query, []byte(body)})
		}
	}
	return list
}

// calls are the paths without a parameter that the document has for a method, sorted.
func calls(method string) []string {
	var paths []string
	for _, o := range documented() {
		if o.method == method && !strings.Contains(o.path, "{") && !strings.HasPrefix(o.path, "/openapi") && o.path != "/docs" {
			paths = append(paths, o.path)
		}
	}
	slices.Sort(paths)
	return paths
}

// pick chooses one of them by a number of the fuzzer's.
func pick(paths []string, n uint8) string { return paths[int(n)%len(paths)] }

func indexOf(paths []string, path string) uint8 { return uint8(max(0, slices.Index(paths, path))) } //nolint:gosec // there are few

func request(t *testing.T, method, path, query string, body []byte) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+path, bytes.NewReader(body))
	r.URL.RawQuery = query
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// FuzzBody: the decoder of each call that has a body.
func FuzzBody(f *testing.F) {
	paths := calls(http.MethodPost)
	for _, s := range seeds() {
		if s.method == http.MethodPost {
			f.Add(indexOf(paths, s.path), s.body)
		}
	}
	for _, path := range paths {
		for _, o := range documented() {
			if o.method == http.MethodPost && o.path == path && o.RequestBody != nil {
				_, body := o.sample(f)
				f.Add(indexOf(paths, path), []byte(body))
			}
		}
	}
	var b fuzzed
	f.Cleanup(func() { b.close(f) })
	f.Fuzz(func(t *testing.T, call uint8, body []byte) {
		b.begin(t)
		b.try(t, request(t, http.MethodPost, pick(paths, call), "", body))
	})
}

// FuzzQuery: the parameters of each call that has them in its address.
func FuzzQuery(f *testing.F) {
	paths := append(calls(http.MethodGet), "/topics/orders", "/topics/orders/messages", "/topics/orders/consumers", "/topics/orders/producers")
	for _, s := range seeds() {
		if s.query != "" {
			f.Add(indexOf(paths, s.path), s.query)
		}
	}
	var b fuzzed
	f.Cleanup(func() { b.close(f) })
	f.Fuzz(func(t *testing.T, call uint8, query string) {
		b.begin(t)
		b.try(t, request(t, http.MethodGet, pick(paths, call), query, nil))
	})
}

// FuzzNames: a name is accepted exactly if it has the form of one, wherever it comes in, and is the same
// when it comes back.
func FuzzNames(f *testing.F) {
	for _, s := range seeds() {
		if name, ok := strings.CutPrefix(s.path, "/topics/"); ok {
			name, _, _ = strings.Cut(name, "/")
			f.Add(name)
			if plain, err := url.PathUnescape(name); err == nil {
				f.Add(plain)
			}
		}
		for _, member := range []string{"name", "prod_name", "topic"} {
			var body map[string]any
			if json.Unmarshal(s.body, &body) == nil {
				if name, ok := body[member].(string); ok {
					f.Add(name)
				}
			}
		}
	}
	form := regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	var b fuzzed
	f.Cleanup(func() { b.close(f) })
	f.Fuzz(func(t *testing.T, name string) {
		good := form.MatchString(name) && name != "." && name != ".."
		if err := service.CheckName("topic", service.TopicName(name)); (err == nil) != good {
			t.Fatalf("%q: %v, want accepted: %t", name, err, good)
		}
		b.begin(t)
		missing, refused := http.StatusNotFound, http.StatusBadRequest
		expect := func(what string, status, want int) {
			t.Helper()
			if status != want {
				t.Errorf("%q in %s: %d, want %d", name, what, status, want)
			}
		}
		inPath := func(segment string) (status int, ok bool) {
			r := request(t, http.MethodGet, "/", "", nil)
			u, err := url.ParseRequestURI("/topics/" + segment)
			if err != nil {
				return 0, false
			}
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
			return b.try(t, r).Code, true
		}
		inPath(name) // as it is, it may be anything
		status, ok := inPath(url.PathEscape(name))
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		exact := strings.ToValidUTF8(name, "") == name // JSON has no other strings
		switch {
		case !good:
			if ok && name != "" {
				expect("the path", status, refused)
			}
			expect("the query", b.try(t, request(t, http.MethodGet, "/producer/client_size", "prod_name="+url.QueryEscape(name), nil)).Code, refused)
			if exact {
				expect("a body", b.try(t, request(t, http.MethodPost, "/topics", "", []byte(`{"name":`+string(quoted)+`}`))).Code, refused)
			}
		case name != "orders":
			if status != missing && status != http.StatusOK { // an earlier input may have made it
				t.Errorf("%q in the path: %d", name, status)
			}
			created := b.try(t, request(t, http.MethodPost, "/topics", "", []byte(`{"name":`+string(quoted)+`}`)))
			if created.Code != http.StatusOK && created.Code != http.StatusConflict {
				t.Errorf("%q cannot be made: %d %s", name, created.Code, created.Body)
			}
			described := b.try(t, request(t, http.MethodGet, "/topics/"+url.PathEscape(name), "", nil))
			var topic struct{ Topic, Name string }
			if err := json.Unmarshal(described.Body.Bytes(), &topic); err != nil || described.Code != http.StatusOK || topic.Topic+topic.Name != name {
				t.Errorf("%q comes back as %s, %v", name, described.Body, err)
			}
			expect("DELETE", b.try(t, request(t, http.MethodDelete, "/topics/"+url.PathEscape(name), "", nil)).Code, http.StatusOK)
		}
	})
}

// FuzzCompat: what the shapes of older clients are rewritten to says the same as they did, by a reading
// that shares no code with the rewriting; it is the same when rewritten once more; and a request without
// any old shape stays as it is, byte for byte.
func FuzzCompat(f *testing.F) {
	paths := slices.Compact(slices.Sorted(slices.Values(append(calls(http.MethodPost), calls(http.MethodGet)...))))
	for _, s := range seeds() {
		f.Add(s.method == http.MethodPost, indexOf(paths, s.path), s.query, s.body)
	}
	for _, s := range []struct {
		post              bool
		path, query, body string
	}{
		{true, "/topics", "", `{"topic_name":"one"}`},
		{true, "/topics", "topic_name=two", ""},
		{false, "/topics", "topic_name=x", ""},
		{false, "/topics", "", `{"topic_name":{},"limit":1}`},
		{true, "/producer/register", "", `{"topic_name":"orders","prod_client":"old"}`},
		{true, "/producer/produce", "", `{"message":"\"topic_name\":\"x\" \u0041\\","topic_name":"orders","producer_id":"497","headers":{"topic_name":"h","producer_id":"7"}}`},
		{true, "/producer/produce", "topic_name=orders&producer_id=497&message=a%20%22%00b&prod_client=shop", ""},
		{true, "/consumer/set_offset", "", `{"consumer_\u0069d":"753","topic_n\u0061me":"orders","offset":0}`},
		{false, "/size", "", `{"topic_name":"orders","consumer_id":"753"}`},
		{false, "/size", "topic_name=orders&consumer_id=753", ""},
	} {
		f.Add(s.post, indexOf(paths, s.path), s.query, []byte(s.body))
	}
	handler := api.NewHandler(service.NewBroker(memory.New(memory.Config{}), service.Config{}), api.Config{})
	f.Fuzz(func(t *testing.T, post bool, call uint8, query string, body []byte) {
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		path := pick(paths, call)
		target, changed, ok, err := api.Canonical(handler, request(t, method, path, query, body), body)
		if !ok || err != nil {
			return
		}
		// A body that stays one keeps the types of its values, but for ids.
		typed := post && len(body) > 0
		before, understood := meaning(method, path, query, body, typed)
		if !understood {
			return // the decoder refuses it afterwards
		}
		_, newQuery, _ := strings.Cut(target, "?")
		after, understood := meaning(method, path, newQuery, changed, typed)
		if !understood || !maps.Equal(before, after) {
			t.Errorf("%s %s?%s %q\nmeans %q\nand became %s %q, which means %q (%t)", method, path, query, body, before, target, changed, after, understood)
		}
		again, changedAgain, _, err := api.Canonical(handler, request(t, method, path, newQuery, changed), changed)
		if err != nil || again != target || !bytes.Equal(changedAgain, changed) {
			t.Errorf("%s %q was canonical and becomes %s %q, %v", target, changed, again, changedAgain, err)
		}
		if post && len(body) > 0 && !oldShape(body) && !bytes.Equal(body, changed) {
			t.Errorf("%q has no old shape and becomes %q", body, changed)
		}
	})
}

// meaning reads all parameters of a request, wherever they stand, under their names in the document:
// strings and numbers as their text, everything else as compact JSON; typed keeps the quotes of strings
// that are no ids. It reports false for what encoding/json does not read, or reads only by ignoring
// something.
func meaning(method, path, query string, body []byte, typed bool) (map[string]string, bool) {
	members := map[string]string{}
	add := func(name, value string) bool {
		switch name {
		case "prod_client":
			name = "prod_name"
		case "topic_name":
			name = "topic"
			if path == "/topics" {
				name = "name"
			}
			if path == "/topics" && method == http.MethodGet {
				return true
			}
		}
		_, twice := members[name]
		members[name] = value
		return !twice
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, false
	}
	for name, list := range values {
		if len(list) != 1 || !add(name, list[0]) {
			return nil, false
		}
	}
	if len(body) == 0 {
		return members, true
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		token, err := d.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || d.Decode(&value) != nil || !add(name, textOf(value, typed && !strings.HasSuffix(name, "_id"))) {
			return nil, false
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	_, err = d.Token()
	return members, err == io.EOF //nolint:errorlint // it is as it is
}

func textOf(value json.RawMessage, typed bool) string {
	var text string
	if value[0] == '"' && !typed && json.Unmarshal(value, &text) == nil {
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return strconv.Quote(string(value))
	}
	return compact.String()
}

// oldShape reports whether a body has a name or an id as older clients send it, in any place.
func oldShape(body []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return true
	}
	for name, value := range members {
		if name == "topic_name" || name == "prod_client" || strings.HasSuffix(name, "_id") && value[0] == '"' {
			return true
		}
	}
	return false
}
