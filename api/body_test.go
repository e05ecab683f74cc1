package api_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// dripping is a body that arrives in pieces. It looks at how much room it is given.
type dripping struct {
	rest          io.Reader
	piece         int
	arrived, room int
}

// Read implements io.Reader.
func (d *dripping) Read(b []byte) (int, error) {
	d.room = max(d.room, len(b)-d.arrived)
	n, err := d.rest.Read(b[:min(d.piece, len(b))])
	d.arrived += n
	return n, err
}

// Close implements io.Closer.
func (*dripping) Close() error { return nil }

// stalled is a body that stops in the middle until it may go on.
type stalled struct {
	rest    io.Reader
	first   int
	reached chan<- struct{} // once
	goOn    <-chan struct{}
	once    sync.Once
}

// Read implements io.Reader.
func (s *stalled) Read(b []byte) (int, error) {
	if s.first == 0 {
		s.once.Do(func() { s.reached <- struct{}{} })
		<-s.goOn
		return s.rest.Read(b)
	}
	n, err := s.rest.Read(b[:min(s.first, len(b))])
	s.first -= n
	return n, err
}

// Close implements io.Closer.
func (*stalled) Close() error { return nil }

// serveBody is a POST of a body without a connection. length is −1 for one of unknown length.
func (w *world) serveBody(path string, body io.ReadCloser, length int) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(w.tb.Context(), http.MethodPost, "http://localhost"+path, http.NoBody)
	r.Header.Set("Content-Type", "application/json")
	r.Body, r.ContentLength = body, int64(length)
	answer := httptest.NewRecorder()
	w.Handler.ServeHTTP(answer, r)
	return answer
}

// TestBodyMemory: memory is taken for what has come, not for what is announced.
func TestBodyMemory(t *testing.T) {
	t.Parallel()
	const first = 4096
	text := `{"name":"large` + strings.Repeat(" ", 8<<20-16) + `"}`
	for _, length := range []int{len(text), -1} {
		w := newWorld(t, nothing(), service.Limits{})
		body := &dripping{rest: strings.NewReader(text), piece: 1000}
		if answer := w.serveBody("/topics", body, length); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), `"field":"name"`) {
			t.Errorf("length %d: %d %s", length, answer.Code, answer.Body)
		}
		if body.arrived != len(text) || body.room > first {
			t.Errorf("length %d: %d of %d bytes were read, and once there was room for %d more than had come before",
				length, body.arrived, len(text), body.room)
		}
	}
}

// TestBodyBudget: bodies that are being read share a bound. What does not fit is refused unread, and
// whoever only announces much is in nobody's way.
func TestBodyBudget(t *testing.T) {
	t.Parallel()
	const largest = 32 << 10
	w := newWorld(t, nothing(), service.Limits{RequestBytes: largest, MessageBytes: 1 << 10},
		apitest.HTTP(api.Config{ReadingBytes: 2 * largest}))
	reached, goOn := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	stall := func(name string, first int, want ...int) {
		text := fmt.Sprintf(`{"name":%q}`, name)
		text += strings.Repeat(" ", largest-len(text))
		group.Go(func() {
			body := &stalled{rest: strings.NewReader(text), first: first, reached: reached, goOn: goOn}
			if answer := w.serveBody("/topics", body, largest); !slices.Contains(want, answer.Code) {
				t.Errorf("%s: %d %s, want %v", name, answer.Code, answer.Body, want)
			}
		})
		<-reached
	}
	send := func(length int) (*httptest.ResponseRecorder, int) {
		body := &dripping{rest: strings.NewReader("{}" + strings.Repeat(" ", largest-2)), piece: largest}
		answer := w.serveBody("/topics", body, length)
		return answer, body.arrived
	}
	for i := range 6 {
		// When they all go on at once, there may not be room for each.
		stall(fmt.Sprintf("idle-%d", i), 1, ok, http.StatusServiceUnavailable)
	}
	if answer, _ := send(2); answer.Code != http.StatusBadRequest {
		t.Errorf("beside idle ones: %d %s", answer.Code, answer.Body)
	}
	stall("half", largest-1, ok)
	for _, length := range []int{largest, -1} {
		answer, arrived := send(length)
		if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), `"overloaded"`) ||
			answer.Header().Get("Retry-After") == "" || answer.Header().Get("Connection") != "close" || arrived > 2*4096 {
			t.Errorf("length %d: %d %s %v, after %d bytes", length, answer.Code, answer.Body, answer.Header(), arrived)
		}
	}
	close(goOn)
	group.Wait()
	if answer, _ := send(largest); answer.Code != http.StatusBadRequest {
		t.Errorf("afterwards: %d %s", answer.Code, answer.Body)
	}
}

// TestBodyBudgetComesBack: whatever becomes of a body, its share is given back.
func TestBodyBudgetComesBack(t *testing.T) {
	t.Parallel()
	const largest = 8 << 10
	w := newWorld(t, nothing(), service.Limits{RequestBytes: largest, MessageBytes: 1 << 10},
		apitest.AnyRequest(), apitest.HTTP(api.Config{ReadingBytes: 1}))
	id := w.fill("orders")
	large := strings.Repeat(" ", largest-100)
	for range 10 {
		for _, c := range []struct {
			method, target, body string
			want                 int
		}{
			{"POST", "/topics", `{"name":"orders"}` + large, http.StatusConflict},
			{"POST", "/topics", `{"name":` + large, malformed},
			{"POST", "/topics", large + large, tooLarge},
			{"POST", "/topics", `{"topic_name":"orders"}` + large, http.StatusConflict},
			{"GET", "/size", fmt.Sprintf(`{"topic":"orders","consumer_id":%d}`, id) + large, ok},
			{"GET", "/size", `{"topic":` + large, malformed},
			{"GET", "/size", large + large, malformed},
		} {
			if r := w.send(c.method, c.target, c.body); r.status != c.want {
				t.Fatalf("%s %s %.50s: %d %s", c.method, c.target, c.body, r.status, r.text)
			}
		}
	}
}

// TestBodiesAreNotKept: what is stored does not lie in the memory that the next body is read into.
func TestBodiesAreNotKept(t *testing.T) {
	t.Parallel()
	const messages = 20
	w := newWorld(t, nothing(), service.Limits{})
	id := w.send(http.MethodPost, "/producer/register", `{"topic":"kept"}`).id("producer_id")
	text := func(i int) string { return strings.Repeat(string(rune('a'+i)), 600) }
	for i := range messages {
		r := w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(
			`{"topic":"kept","producer_id":%d,"messages":[{"message":%q,"headers":{%q:%q}},{"message_base64":%q}]}`,
			id, text(i), text(i), text(i), base64.StdEncoding.EncodeToString([]byte(text(i)))))
		if r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.text)
		}
	}
	first := service.Offset(0)
	read, err := w.Broker.Read(t.Context(), service.ReadRequest{Topic: "kept", Offset: &first})
	if err != nil || len(read.Messages) != 2*messages {
		t.Fatalf("%d messages, %v", len(read.Messages), err)
	}
	for i := range messages {
		m, binary := read.Messages[2*i], read.Messages[2*i+1]
		if string(m.Bytes) != text(i) || m.Headers[text(i)] != text(i) || string(binary.Bytes) != text(i) {
			t.Errorf("message %d is %.20q with %.40q, and %.20q", i, m.Bytes, m.Headers, binary.Bytes)
		}
	}
}
