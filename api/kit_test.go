package api_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

var update = flag.Bool("update", false, "write testdata/*.golden")

// operation is one operation of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

// documented returns the operations of the document by their ids.
var documented = sync.OnceValue(func() map[string]operation {
	doc, err := wireserver.GetSpec()
	if err != nil {
		panic(err)
	}
	operations := map[string]operation{}
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			o.Parameters = append(slices.Clone(item.Parameters), o.Parameters...)
			operations[o.OperationID] = operation{o, method, path}
		}
	}
	return operations
})

// codes lists the codes that the document says an operation may answer, each with its status.
func (o operation) codes() map[string]int {
	codes := map[string]int{}
	for status, r := range o.Responses.Map() {
		n, _ := strconv.Atoi(status)
		if n < 300 {
			continue
		}
		for code := range r.Value.Content["application/json"].Examples {
			codes[code] = n
		}
	}
	return codes
}

// sample returns an address and a body that the document describes.
func (o operation) sample(tb testing.TB) (target, body string) {
	tb.Helper()
	var query []string
	for _, p := range o.Parameters {
		if p.Value.In == "query" && p.Value.Required {
			query = append(query, fmt.Sprintf("%s=%v", p.Value.Name, p.Value.Example))
		}
	}
	target = strings.ReplaceAll(o.path, "{topic}", "orders")
	if query != nil {
		target += "?" + strings.Join(query, "&")
	}
	if o.RequestBody == nil {
		return target, ""
	}
	examples := o.RequestBody.Value.Content["application/json"].Examples
	text, err := json.Marshal(examples[slices.Sorted(maps.Keys(examples))[0]].Value.Value)
	if err != nil {
		tb.Fatal(err)
	}
	return target, string(text)
}

// coverage counts which codes were seen of which operation.
type coverage struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

// nothing is what was seen at first.
func nothing() *coverage { return &coverage{seen: map[string]map[string]bool{}} }

func (c *coverage) note(operation, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[operation] == nil {
		c.seen[operation] = map[string]bool{}
	}
	c.seen[operation][code] = true
}

// world is a broker on a store that can fail, with a clock and ids that are the same in each run,
// and a transcript of what was said to it.
type world struct {
	*apitest.Server
	tb         testing.TB
	operations map[string]operation
	coverage   *coverage
	store      *dbtest.Faulty
	fault      atomic.Pointer[error]
	transcript bytes.Buffer
	client     *http.Client

	// The topic "trimmed": five messages with a seq of prod_name "trimmed", the first three gone, and
	// a consumer at the beginning that was.
	trimmedProducer service.ProducerID
	trimmedConsumer service.ConsumerID
}

// moment is when everything happens in a world.
var moment = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

func newWorld(tb testing.TB, c *coverage, limits service.Limits, options ...apitest.Option) *world {
	tb.Helper()
	return newWorldOn(tb, memory.New(memory.Config{Random: func() uint64 { return 0 }}), c, limits, options...)
}

// newWorldOn is newWorld on an empty store.
func newWorldOn(tb testing.TB, engine service.Store, c *coverage, limits service.Limits, options ...apitest.Option) *world {
	tb.Helper()
	w := &world{tb: tb, operations: documented(), coverage: c}
	w.seed(engine)
	w.store = &dbtest.Faulty{Store: engine, Before: func(method string) error {
		if fault := w.fault.Load(); fault != nil && method != "CommitOffsets" && method != "Sweep" && method != "ListRetained" {
			return *fault
		}
		return nil
	}}
	var tokens atomic.Int64
	config := service.Config{
		Limits:   limits,
		Now:      func() time.Time { return moment },
		NewToken: func() string { return "incarnation-" + strconv.FormatInt(tokens.Add(1), 10) },
		Secrets:  rand.NewChaCha8([32]byte{}),
		// A fault of these tests stays: nothing is found out by looking longer.
		ResolveFor: 50 * time.Millisecond,
	}
	options = append([]apitest.Option{apitest.Store(w.store), apitest.Service(config)}, options...)
	w.Server = apitest.Serve(tb, options...)
	w.client = &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	tb.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (w *world) seed(store service.Store) {
	ctx := w.tb.Context()
	must := func(err error) {
		w.tb.Helper()
		if err != nil {
			w.tb.Fatal(err)
		}
	}
	producer, head, err := store.RegisterProducer(ctx, service.ProducerRegistration{
		Topic: service.NewTopic{Name: "trimmed", Incarnation: "incarnation-0", At: moment}, Name: "trimmed",
	})
	must(err)
	payloads := make([]service.Payload, 5)
	for i := range payloads {
		payloads[i].Bytes = []byte("message " + strconv.Itoa(i))
	}
	_, err = store.Append(ctx, []service.AppendRequest{{Topic: head.ID, Producer: producer.ID, Payloads: payloads}}, moment)
	must(err)
	consumer, _, err := store.RegisterConsumer(ctx, service.ConsumerRegistration{
		Topic: "trimmed", From: service.FromBeginning, At: moment,
	})
	must(err)
	_, err = store.Trim(ctx, head.ID, 3)
	must(err)
	w.trimmedProducer, w.trimmedConsumer = producer.ID, consumer.ID
}

// result is one answer.
type result struct {
	status int
	header http.Header
	text   string
	values map[string]any
}

func (r result) code() string { code, _ := r.values["code"].(string); return code }

// id returns a member that is an integer.
func (r result) id(name string) int64 { f, _ := r.values[name].(float64); return int64(f) }

// call calls an operation, fails the test unless the answer has this code ("" is success), and
// writes both down.
func (w *world) call(code, operation, title, target, body string, header ...string) result {
	w.tb.Helper()
	o, ok := w.operations[operation]
	if !ok {
		w.tb.Fatalf("there is no operation %s", operation)
	}
	r := w.send(o.method, target, body, header...)
	if r.code() != code || code == "" && r.status != http.StatusOK {
		w.tb.Fatalf("%s, %s: %s %s %s answers %d %s, want code %q", operation, title, o.method, target, body, r.status, r.text, code)
	}
	w.coverage.note(operation, code)
	if code != "" && r.status != o.codes()[code] {
		w.tb.Errorf("%s: %s has status %d, the document says %d", operation, code, r.status, o.codes()[code])
	}
	w.write(o.method, title, target, body, r)
	return r
}

func (w *world) send(method, target, body string, header ...string) result {
	w.tb.Helper()
	request, err := http.NewRequestWithContext(w.tb.Context(), method, w.URL+target, strings.NewReader(body))
	if err != nil {
		w.tb.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
		request.Header.Set(header[i], header[i+1])
	}
	response, err := w.client.Do(request)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.tb.Fatal(err)
	}
	r := result{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.values) // not all answers are JSON
	return r
}

func (w *world) write(method, title, target, body string, r result) {
	fmt.Fprintf(&w.transcript, "### %s\n%s %s\n", title, method, target)
	if body != "" {
		fmt.Fprintln(&w.transcript, body)
	}
	fmt.Fprintf(&w.transcript, "\n%d\n", r.status)
	for _, name := range []string{"Allow", "Retry-After"} {
		if value := r.header.Get(name); value != "" {
			fmt.Fprintf(&w.transcript, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&w.transcript, "%s\n\n", strings.TrimSpace(r.text))
}

// faults makes the store fail in each way that the document knows for an operation.
func (w *world) faults(operation, target, body string) {
	w.tb.Helper()
	ways := map[string]error{
		"internal":        errors.New("the disk is on fire"),
		"overloaded":      service.ErrOverloaded,
		"unavailable":     service.ErrUnavailable.Because(errors.New("connection refused")),
		"outcome_unknown": service.ErrOutcomeUnknown,
		"storage_full":    service.ErrStorageFull,
	}
	documented := w.operations[operation].codes()
	for _, code := range slices.SortedFunc(maps.Keys(ways), func(a, b string) int { return cmp.Compare(a, b) }) {
		if _, ok := documented[code]; !ok {
			continue
		}
		fault := ways[code]
		w.fault.Store(&fault)
		w.call(code, operation, "the store fails: "+code, target, body)
	}
	w.fault.Store(nil)
}

// The only words of an answer that differ from run to run.
var requestID = regexp.MustCompile(`("request_id":)"[^"]*"`)

// golden compares the transcript with a file.
func (w *world) golden(name string) {
	w.tb.Helper()
	got := requestID.ReplaceAll(w.transcript.Bytes(), []byte(`$1"<masked>"`))
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			w.tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.tb.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		w.tb.Errorf("%s (go test ./api -update, and look at the difference):\n%s", path, diff)
	}
}
