package api_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// patient is a broker of few connections whose own timeouts would not help for long.
func patient(connections int) apitest.Option {
	return apitest.HTTP(api.Config{Connections: connections, HeaderTimeout: time.Hour, IdleTimeout: time.Hour})
}

// ask sends a request over an open connection and reads the answer.
func ask(t *testing.T, c net.Conn, url, text string) (status int, err error) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "%HOST%", strings.TrimPrefix(url, "http://"))); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// ended waits until the other side has closed a connection.
func ended(t *testing.T, c net.Conn, what string) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); n > 0 || ok && timeout.Timeout() {
		t.Errorf("%s: %d bytes, %v; want the end of the connection", what, n, err)
	}
}

// Row 87: who opens connections and sends nothing keeps nobody out.
func TestConnectionsThatSendNothingMakeRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, patient(3))
	var opened []net.Conn
	for range 20 {
		opened = append(opened, dial(t, w.URL))
	}
	if a := w.raw(get("/healthz")); a.status != http.StatusOK {
		t.Errorf("after twenty idle connections: %d", a.status)
	}
	for _, c := range opened[:17] {
		ended(t, c, "one of the oldest")
	}
}

// Row 87: the one that has rested longest makes room, whether or not it has asked before.
func TestConnectionThatRestedLongestMakesRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, patient(2))
	first, second := dial(t, w.URL), dial(t, w.URL)
	for _, c := range []net.Conn{second, first, second, first} { // second rests longer
		if status, err := ask(t, c, w.URL, get("/healthz")); status != http.StatusOK {
			t.Fatal(status, err)
		}
	}
	third := dial(t, w.URL)
	if status, err := ask(t, third, w.URL, get("/healthz")); status != http.StatusOK {
		t.Error("the third:", status, err)
	}
	ended(t, second, "the second")
	if status, err := ask(t, first, w.URL, get("/healthz")); status != http.StatusOK {
		t.Error("the first:", status, err)
	}
}

// TestConnectionsThatWorkStay: none of them is closed for a new one, which waits until one rests.
func TestConnectionsThatWorkStay(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	server := newHTTPServer(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-leave
		}
		rw.WriteHeader(http.StatusOK)
	}), api.Config{Connections: 2})
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 3)
	send := func(target string) {
		c := dial(t, server.URL)
		go func() {
			status, err := ask(t, c, server.URL, get(target))
			answers <- answer{status, err}
		}()
	}
	send("/slow")
	send("/slow")
	<-entered
	<-entered
	send("/fast")
	select {
	case a := <-answers:
		t.Errorf("an answer while both work: %v", a)
	default:
	}
	leave <- struct{}{}
	for range 2 { // the slow one that has ended, and the fast one in its place
		if a := <-answers; a.status != http.StatusOK {
			t.Error(a)
		}
	}
	leave <- struct{}{}
	if a := <-answers; a.status != http.StatusOK {
		t.Error(a)
	}
}

// TestClosedListener: the connection that waits for a place is closed with it.
func TestClosedListener(t *testing.T) {
	t.Parallel()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := api.Listen(inner, api.Config{Connections: 1})
	dial(t, "http://"+inner.Addr().String())
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	waiting := dial(t, "http://"+inner.Addr().String())
	failed := make(chan error)
	go func() {
		_, err := listener.Accept()
		failed <- err
	}()
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	ended(t, waiting, "the one that waits")
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
}

// framings are streams of requests, and the number of the one that is ambiguous.
func framings() map[string]int64 {
	const (
		plain     = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		sized     = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\nTransfer-Encoding: x\nContent-Length: 1\n"
		chunked   = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		both      = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		otherWay  = "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:3\r\n\r\n0\r\n\r\n"
		newLines  = "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\r\n\r\n"
		folded    = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 3\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n"
		notFolded = "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	)
	long := "GET /" + strings.Repeat("a", 500) + " HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", 500) + "\r\n\r\n"
	padded := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:" + strings.Repeat(" ", 200) + "3\r\n\r\nabc"
	return map[string]int64{
		"": 0, plain: 0, sized: 0, chunked: 0, both: 1, otherWay: 1, newLines: 1, folded: 1, notFolded: 0,
		plain + both: 2, sized + both: 2, sized + plain + sized + otherWay: 4, long + newLines: 2,
		chunked + both:        0, // the connection ends with the first
		sized + "\r\n" + both: 2, both + plain: 1, padded + both: 2,
		// net/http refuses the first of these, and closes the connection.
		"x\r\n\r\n" + both: 2, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" + both: 2,
	}
}

// TestFraming: whatever parts a stream comes in.
func TestFraming(t *testing.T) {
	t.Parallel()
	for stream, want := range framings() {
		for size := 1; size <= len(stream)+1; size++ {
			var f api.Framing
			for part := range chunksOf([]byte(stream), size) {
				f.Take(part)
			}
			if got := f.Ambiguous(); got != want {
				t.Fatalf("%q in parts of %d bytes: request %d is ambiguous, want %d", stream, size, got, want)
			}
		}
	}
}

func chunksOf(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// FuzzFraming compares the follower with net/http: of the requests that net/http takes, up to the first
// in chunks, the ambiguous one is the one that is, and no other.
func FuzzFraming(f *testing.F) {
	for stream := range framings() {
		f.Add([]byte(stream), uint16(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		var follower api.Framing
		for part := range chunksOf(stream, int(size)+1) {
			follower.Take(part)
		}
		served, ambiguous := asNetHTTP(stream)
		got := follower.Ambiguous()
		if got > served {
			got = 0 // net/http has refused a request before, and closed the connection
		}
		if got != ambiguous {
			t.Errorf("%q: request %d is ambiguous of %d, want %d", stream, got, served, ambiguous)
		}
	})
}

// asNetHTTP reads requests as net/http does, up to the first in chunks, and finds in their bytes which
// has a length as well.
func asNetHTTP(stream []byte) (served, ambiguous int64) {
	source := bytes.NewReader(stream)
	buffered := bufio.NewReader(source)
	at := func() int { return len(stream) - source.Len() - buffered.Buffered() }
	post := false
	for {
		// As the server of net/http: blank lines after a POST belong to nothing.
		for post {
			if next, _ := buffered.Peek(1); len(next) == 0 || next[0] != '\r' && next[0] != '\n' {
				break
			}
			_, _ = buffered.Discard(1)
		}
		begin := at()
		request, err := http.ReadRequest(buffered)
		if err != nil || !request.ProtoAtLeast(1, 0) || request.ProtoMajor != 1 {
			return served, 0
		}
		served++
		post = request.Method == http.MethodPost
		if hasBoth(stream[begin:at()]) {
			return served, served
		}
		if request.ContentLength < 0 || bytes.Contains(bytes.ToLower(stream[begin:at()]), []byte("transfer-encoding")) {
			return served, 0
		}
		if n, _ := io.CopyN(io.Discard, buffered, request.ContentLength); n < request.ContentLength {
			return served, 0
		}
	}
}

func hasBoth(block []byte) bool {
	var length, encoding bool
	for line := range bytes.Lines(block) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		length = length || strings.EqualFold(string(name), "Content-Length")
		encoding = encoding || strings.EqualFold(string(name), "Transfer-Encoding")
	}
	return length && encoding
}

// TestAmbiguousRequestInALine: requests before it on the same connection are answered as ever.
func TestAmbiguousRequestInALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	var stream strings.Builder
	for i := range 20 {
		stream.WriteString(post("/topics", fmt.Sprintf(`{"name":"t%d"}`, i)) + get("/healthz"))
	}
	stream.WriteString("POST /topics HTTP/1.1\r\nHost: %HOST%\r\nContent-Type: application/json\r\n" +
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"name\":\"bad\"}\r\n0\r\n\r\n" + get("/healthz"))
	c := dial(t, w.URL)
	_, _ = io.WriteString(c, strings.ReplaceAll(stream.String(), "%HOST%", strings.TrimPrefix(w.URL, "http://")))
	reader := bufio.NewReader(c)
	for i := range 41 {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if last := i == 40; (response.StatusCode == malformed) != last || response.Close != last {
			t.Errorf("answer %d: %d, closed: %t", i, response.StatusCode, response.Close)
		}
	}
	if more, _ := io.ReadAll(reader); len(more) > 0 {
		t.Errorf("one more answer: %.100q", more)
	}
}

// BenchmarkFraming is what each request pays for it.
func BenchmarkFraming(b *testing.B) {
	text := []byte("POST /producer/produce HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: topiq-go\r\n" +
		"Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: 7\r\n\r\n0123456")
	var f api.Framing
	b.ReportAllocs()
	for b.Loop() {
		f.Take(text)
	}
}
