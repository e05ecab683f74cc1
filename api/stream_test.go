package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func streamScenario(w *world) {
	w.fill("orders")
	w.send(http.MethodPost, "/topics", `{"name":"empty"}`)
	at := "/topics/orders/stream?offset="
	w.told("from the beginning", at+"0", 4)
	w.told("from an offset", at+"2", 2)
	w.told("from the end", at+"3", 1)
	w.told("of an empty topic", "/topics/empty/stream?offset=0", 1)
	w.told("with the incarnation", at+"2&incarnation=incarnation-1", 2)
	w.told("behind an event, which wins over the address", at+"9&incarnation=old", 3, "Last-Event-ID", "0.incarnation-1")
	w.told("behind the last event, without an offset", "/topics/orders/stream", 1, "Last-Event-ID", "2.incarnation-1")
	w.told("behind an event, and what followed is trimmed", "/topics/trimmed/stream", 4, "Last-Event-ID", "0.incarnation-0")

	refused := func(code, title, target string, header ...string) {
		w.tb.Helper()
		w.call(code, "streamMessages", title, "/topics/"+target, "", header...)
	}
	refused("invalid_request", "from nowhere", "orders/stream")
	refused("invalid_request", "a negative offset", "orders/stream?offset=-1")
	refused("invalid_request", "no history", "orders/stream?offset=0&incarnation=")
	for _, id := range []string{
		"1", "1.", ".incarnation-1", "-1.incarnation-1", "+1.incarnation-1", "01.incarnation-1", "x.incarnation-1",
		"9007199254740991.incarnation-1", "99999999999999999999.incarnation-1", "1." + strings.Repeat("x", 129),
	} {
		refused("invalid_request", "behind what is no event: "+id, "orders/stream?offset=0", "Last-Event-ID", id)
	}
	refused("topic_not_found", "unknown topic", "nope/stream?offset=0")
	refused("incarnation_changed", "another history", "orders/stream?offset=0&incarnation=old")
	refused("incarnation_changed", "behind an event of another history", "orders/stream?offset=0", "Last-Event-ID", "0.old")
	refused("offset_trimmed", "below the first", "trimmed/stream?offset=2")
	refused("offset_out_of_range", "above the end", "orders/stream?offset=4")
	refused("offset_out_of_range", "behind what is not there", "orders/stream", "Last-Event-ID", "3.incarnation-1")
	w.faults("streamMessages", "/topics/orders/stream?offset=0", "")
}

// TestStreamHead: nothing on the way may keep, change or hold back a stream.
func TestStreamHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	e := w.stream("/topics/trimmed/stream?offset=3")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform",
		"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff", "Content-Length": "",
	} {
		if got := e.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if first, err := e.block(); err != nil || first != ":\n" {
		t.Errorf("the stream begins with %q, %v, want a comment", first, err)
	}
	// A refusal is no stream.
	r := w.send(http.MethodGet, "/topics/nope/stream?offset=0", "")
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal has the header %v", r.header)
	}
}

// TestEmptyEventID: it is what a reader sends that has seen nothing, and no event.
func TestEmptyEventID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	w.stream("/topics/trimmed/stream?offset=4", "Last-Event-ID", "").want("message", "offset", 4)
	if r := w.send(http.MethodGet, "/topics/trimmed/stream", "", "Last-Event-ID", ""); r.values["field"] != "offset" {
		t.Errorf("without an offset: %d %s", r.status, r.text)
	}
}

// TestStreamSaysWhatMessagesSays: the same objects, byte for byte, each on one line whatever is in it.
func TestStreamSaysWhatMessagesSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	contents := map[string]any{
		"line feeds": "a\nb\n\nc\n", "carriage returns": "a\rb\r\nc\r", "fields": "data: x\n\nevent: error\ndata: {}\n\n",
		"separators": "a\u2028b\u2029c\u0085d", "zero": "\x00", "quotes": `"\"`, "empty": "", "byte order mark": "\ufeffx",
		"emoji": "🦉", "long": strings.Repeat("0123456789\n", 20_000), "html": "</script><!--&",
	}
	id := w.send(http.MethodPost, "/producer/register", `{"topic":"orders","prod_name":"shop"}`).id("producer_id")
	seq := 0
	for name, text := range contents {
		body, err := json.Marshal(map[string]any{
			"topic": "orders", "producer_id": id, "seq": seq,
			"messages": []any{map[string]any{"message": text, "headers": map[string]any{"k\n": "v\r\n" + name}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.send(http.MethodPost, "/producer/produce", string(body)); r.status != ok {
			t.Fatalf("%s: %d %s", name, r.status, r.text)
		}
		seq++
	}
	w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(`{"topic":"orders","producer_id":%d,"seq":%d,"message_base64":"AAoN"}`, id, seq))

	var read struct {
		Messages    []json.RawMessage
		Incarnation string
	}
	if err := json.Unmarshal([]byte(w.send(http.MethodGet, "/topics/orders/messages?offset=0", "").text), &read); err != nil {
		t.Fatal(err)
	}
	e := w.stream("/topics/orders/stream?offset=0")
	for i, want := range read.Messages {
		got := e.next()
		if got.name != "message" || got.data != string(want) || got.id != fmt.Sprintf("%d.%s", i, read.Incarnation) {
			t.Errorf("got %s\nwant the data %s", got.text, want)
		}
	}
	e.want("caught-up", "next_offset", int64(len(contents))+1)
}

// TestStreamGoesOn: what is stored later comes as it is stored, and the end is told after it.
func TestStreamGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	w.produce("orders", "zero")
	e := w.stream("/topics/orders/stream?offset=0")
	e.want("message", "offset", 0)
	e.want("caught-up", "next_offset", 1)
	for offset := int64(1); offset < 20; offset++ {
		w.produce("orders", "more")
		e.want("message", "offset", offset)
		e.want("caught-up", "next_offset", offset+1)
	}
}

// TestStreamGoesOnBehindACut: whatever was read before a connection was cut, the next one goes on
// there.
func TestStreamGoesOnBehindACut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	const messages = 30
	for range messages {
		w.produce("orders", "x")
	}
	last, want := "", int64(0)
	for size := 1; want < messages; size++ {
		header := []string{}
		if last != "" {
			header = []string{"Last-Event-ID", last}
		}
		e := w.stream("/topics/orders/stream?offset=0", header...)
		for range size {
			if want == messages {
				break
			}
			last = e.want("message", "offset", want).id
			want++
		}
		e.leave()
	}
	w.stream("/topics/orders/stream?offset=0", "Last-Event-ID", last).want("caught-up", "next_offset", messages)
}

// TestStreamOfADeletedTopic ends, and so does that of one that was made anew under the name.
func TestStreamOfADeletedTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	w.produce("orders", "zero")
	e := w.stream("/topics/orders/stream?offset=1")
	last := e.want("caught-up", "next_offset", 1).id
	w.send(http.MethodDelete, "/topics/orders", "")
	e.wantError("topic_not_found")
	w.produce("orders", "zero")
	r := w.send(http.MethodGet, "/topics/orders/stream?offset=1", "", "Last-Event-ID", last)
	if r.code() != "incarnation_changed" || r.values["incarnation"] == nil {
		t.Errorf("the new topic answers %d %s", r.status, r.text)
	}
}

// TestStreamOfAFailingStore ends with what failed, and tells no more of an internal error than others do.
func TestStreamOfAFailingStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	w.produce("orders", "zero")
	for code, fault := range map[string]error{
		"unavailable": service.ErrUnavailable, "internal": io.ErrUnexpectedEOF,
	} {
		e := w.stream("/topics/orders/stream?offset=1")
		e.want("caught-up", "next_offset", 1)
		w.fault.Store(&fault)
		w.send(http.MethodDelete, "/topics/orders", "") // which fails, and makes the broker look again
		got := e.next()
		if !strings.Contains(got.data, `"code":"`+code+`"`) || strings.Contains(got.data, "EOF") {
			t.Errorf("got %s\nwant %s", got.text, code)
		}
		if strings.Contains(got.data, "request_id") != (code == "internal") {
			t.Errorf("%s: %s", code, got.text)
		}
		w.fault.Store(nil)
	}
}

// TestStreamsAreLimited: they count among those who wait, from the beginning to the end.
func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{Waiters: 2})
	target := "/topics/trimmed/stream?offset=5"
	first, second := w.stream(target), w.stream(target)
	first.want("caught-up", "next_offset", 5)
	r := w.send(http.MethodGet, target, "")
	if r.code() != "overloaded" || r.header.Get("Retry-After") == "" {
		t.Errorf("the third stream: %d %v %s", r.status, r.header, r.text)
	}
	if r := w.send(http.MethodGet, "/topics/trimmed/messages?offset=5&wait=1", ""); r.code() != "overloaded" {
		t.Errorf("a long poll: %d %s", r.status, r.text)
	}
	second.want("caught-up", "next_offset", 5)
	first.leave()
	w.eventuallyStreams(target)
}

// eventuallyStreams waits until there is room for a stream.
func (w *world) eventuallyStreams(target string) {
	w.tb.Helper()
	for range 1000 {
		request, err := http.NewRequestWithContext(w.tb.Context(), http.MethodGet, w.URL+target, http.NoBody)
		if err != nil {
			w.tb.Fatal(err)
		}
		response, err := w.client.Do(request)
		if err != nil {
			w.tb.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	w.tb.Fatal("the place was never given back")
}

// stalled opens a stream on a connection that takes nothing.
func (w *world) stalled(target string) net.Conn {
	w.tb.Helper()
	address := strings.TrimPrefix(w.URL, "http://")
	conn, err := (&net.Dialer{}).DialContext(w.tb.Context(), "tcp", address)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { _ = conn.Close() })
	tcp, isTCP := conn.(*net.TCPConn)
	if !isTCP || tcp.SetReadBuffer(4096) != nil {
		w.tb.Fatal("the buffer cannot be made small")
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, address); err != nil {
		w.tb.Fatal(err)
	}
	return conn
}

// flood makes a topic with more than the buffers between a broker and a reader hold.
func (w *world) flood(topic service.TopicName) {
	w.tb.Helper()
	text := strings.Repeat("x", 1<<20)
	for range 24 {
		w.produce(topic, text)
	}
}

// TestSlowReadersAreCut: a reader that takes nothing loses its connection and gives its place back,
// though others stream for much longer than an answer may take.
func TestSlowReadersAreCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{Waiters: 2}, apitest.HTTP(api.Config{
		BodyTimeout: time.Second, BodyBytesPerSecond: 1 << 30,
	}))
	patient := w.stream("/topics/trimmed/stream?offset=5")
	patient.want("caught-up", "next_offset", 5)
	w.flood("orders")
	stalled := w.stalled("/topics/orders/stream?offset=0")
	w.eventuallyStreams("/topics/orders/stream?offset=0") // its place is free again
	if err := stalled.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, stalled); err == nil && n >= 24<<20 {
		t.Errorf("the slow reader got %d bytes", n)
	}
	w.produce("trimmed", "still there")
	patient.want("message", "offset", 5)
}

// TestStreamsEndAtShutdown: at once, with a word, and whether or not their readers take it.
func TestStreamsEndAtShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{BodyTimeout: time.Hour}))
	w.flood("orders")
	w.stalled("/topics/orders/stream?offset=0")
	waiting := w.stream("/topics/trimmed/stream?offset=5")
	waiting.want("caught-up", "next_offset", 5)
	done := make(chan error, 1)
	w.HTTP.Config.RegisterOnShutdown(func() { done <- w.CloseBroker() })
	if err := w.HTTP.Config.Shutdown(t.Context()); err != nil { // an hour, if it waited for the reader
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	waiting.wantError("unavailable")
}

// blocks is a response writer that keeps what was flushed, and when.
type blocks struct {
	*httptest.ResponseRecorder
	mu      sync.Mutex
	pending bytes.Buffer
	flushed []string
	at      []time.Time
}

func (b *blocks) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending.Write(p)
}

func (b *blocks) FlushError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushed = append(b.flushed, b.pending.String())
	b.at = append(b.at, time.Now())
	b.pending.Reset()
	return nil
}

// TestHeartbeats: a comment at once, and whenever there was nothing for 15 seconds.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
		p, _, err := broker.RegisterProducer(t.Context(), "orders", "", "")
		if err != nil {
			t.Fatal(err)
		}
		produce := func(text string) {
			_, err := broker.Produce(t.Context(), service.ProduceRequest{
				Topic: "orders", Producer: p.ID, Payloads: []service.Payload{{Bytes: []byte(text)}},
			})
			if err != nil {
				t.Error(err)
			}
		}
		produce("zero")
		out := &blocks{ResponseRecorder: httptest.NewRecorder()}
		began := time.Now()
		time.AfterFunc(40*time.Second, func() { produce("one") })
		time.AfterFunc(71*time.Second, func() { _ = broker.Close(context.WithoutCancel(t.Context())) })
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/topics/orders/stream?offset=0", http.NoBody)
		api.NewHandler(broker, api.Config{}).ServeHTTP(out, r)

		var told []string
		for i, text := range out.flushed {
			var names []string
			for line := range strings.Lines(text) {
				if name, found := strings.CutPrefix(line, "event: "); found {
					names = append(names, strings.TrimSpace(name))
				} else if line == ":\n" {
					names = append(names, ":")
				}
			}
			told = append(told, fmt.Sprintf("%d s %s", int(out.at[i].Sub(began).Seconds()), strings.Join(names, " ")))
		}
		want := "0 s :, 0 s message caught-up, 15 s :, 30 s :, 40 s message caught-up, 55 s :, 70 s :, 71 s error"
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("told  %s\nwant %s", got, want)
		}
	})
}
