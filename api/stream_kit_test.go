package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// events reads one stream.
type events struct {
	tb     testing.TB
	header http.Header
	in     *bufio.Reader
	leave  func()
}

// event is one block of a stream, with what it says.
type event struct {
	text, id, name, data string
}

func (e event) offset(tb testing.TB, member string) int64 {
	tb.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(e.data), &values); err != nil {
		tb.Fatalf("%v in %q", err, e.text)
	}
	n, ok := values[member].(float64)
	if !ok {
		tb.Fatalf("no %s in %q", member, e.text)
	}
	return int64(n)
}

// stream opens a stream, and fails the test if it is refused.
func (w *world) stream(target string, header ...string) *events {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), 5*time.Minute)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+target, http.NoBody)
	if err != nil {
		w.tb.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	patient := &http.Client{Transport: w.client.Transport} // a stream has no end to wait for
	response, err := patient.Do(request)                   //nolint:bodyclose // leave does
	if err != nil {
		w.tb.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		w.tb.Fatalf("%s answers %d %s", target, response.StatusCode, text)
	}
	e := &events{tb: w.tb, header: response.Header, in: bufio.NewReader(response.Body), leave: func() {
		cancel()
		_ = response.Body.Close()
	}}
	w.tb.Cleanup(e.leave)
	return e
}

// block reads up to the next empty line.
func (e *events) block() (string, error) {
	var text strings.Builder
	for {
		line, err := e.in.ReadString('\n')
		if err != nil || line == "\n" {
			return text.String(), err
		}
		text.WriteString(line)
	}
}

// next reads the next event; comments are left out.
func (e *events) next() event {
	e.tb.Helper()
	for {
		text, err := e.block()
		if err != nil {
			e.tb.Fatalf("the stream ended: %v", err)
		}
		found := event{text: text}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				found.id = value
			case "event":
				found.name = value
			case "data":
				found.data = value
			}
		}
		if found.name != "" {
			return found
		}
	}
}

// want reads the next event, which must be this one.
func (e *events) want(name, member string, offset int64) event {
	e.tb.Helper()
	got := e.next()
	if got.name != name || got.offset(e.tb, member) != offset {
		e.tb.Fatalf("got %s\nwant %s with %s %d", got.text, name, member, offset)
	}
	return got
}

// wantError reads an error with this code, and the end of the stream.
func (e *events) wantError(code string) {
	e.tb.Helper()
	got := e.next()
	var failure struct {
		Status, Code string
	}
	if err := json.Unmarshal([]byte(got.data), &failure); err != nil {
		e.tb.Fatal(err)
	}
	if got.name != "error" || got.id != "" || failure.Status != "failure" || failure.Code != code {
		e.tb.Fatalf("got %s\nwant the error %s", got.text, code)
	}
	if rest, err := io.ReadAll(e.in); err != nil || len(rest) > 0 {
		e.tb.Fatalf("after the error: %q, %v", rest, err)
	}
}

// told opens a stream, writes down what it tells until it has told so many events, and leaves it.
func (w *world) told(title, target string, n int, header ...string) {
	w.tb.Helper()
	e := w.stream(target, header...)
	var text strings.Builder
	for range n {
		text.WriteString(e.next().text)
		text.WriteByte('\n')
	}
	e.leave()
	w.coverage.note("streamMessages", "")
	var sent strings.Builder
	sent.WriteString(target)
	for i := 0; i < len(header); i += 2 {
		_, _ = fmt.Fprintf(&sent, "\n%s: %s", header[i], header[i+1])
	}
	asked := sent.String()
	w.write(http.MethodGet, title, asked, "", result{status: http.StatusOK, header: e.header, text: text.String()})
}

// produce stores a text in a topic, which is made if it is missing. It asks the broker itself, for the
// limits of some tests are too short for a request that must succeed.
func (w *world) produce(topic service.TopicName, text string) {
	w.tb.Helper()
	p, _, err := w.Broker.RegisterProducer(w.tb.Context(), topic, "", "")
	if err == nil {
		_, err = w.Broker.Produce(w.tb.Context(), service.ProduceRequest{
			Topic: topic, Producer: p.ID, Payloads: []service.Payload{{Bytes: []byte(text)}},
		})
	}
	if err != nil {
		w.tb.Fatal(err)
	}
}
