package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// newHTTPServer serves a handler with the settings of a broker until the test ends.
func newHTTPServer(t *testing.T, handler http.Handler, config api.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config = api.NewServer(handler, config)
	server.Listener = api.Listen(server.Listener, config)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(rawTimeout))
	return connection
}

// Row 83: headers that never end.
func TestHeaderDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{HeaderTimeout: 50 * time.Millisecond}))
	for _, text := range []string{"", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: %HOST%\r\nX: y\r\n"} {
		// net/http takes half a request line for a malformed one.
		if a := w.raw(text); a.status != 0 && a.status != malformed {
			t.Errorf("%q answers %d", text, a.status)
		}
	}
}

// Row 84: a body that comes too slowly, whether its length is known or not.
func TestBodyDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{BodyTimeout: 100 * time.Millisecond}))
	for _, length := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		connection := dial(t, w.URL)
		_, _ = fmt.Fprintf(connection, "POST /topics HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n",
			strings.TrimPrefix(w.URL, "http://"), length)
		ended := make(chan struct{})
		go func() { // a byte at a time, until the connection is closed
			defer close(ended)
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			for range ticker.C {
				if _, err := io.WriteString(connection, "1\r\n \r\n"); err != nil {
					return
				}
			}
		}()
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusRequestTimeout || !response.Close {
			t.Errorf("%s: %d, closed: %t", length, response.StatusCode, response.Close)
		}
		_ = connection.Close()
		<-ended
	}
}

// TestBodyDeadlineIsLifted: it must not end the long poll that follows the body.
func TestBodyDeadlineIsLifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{BodyTimeout: 500 * time.Millisecond}))
	id := w.fill("orders")
	r := w.send(http.MethodPost, "/consumer/consume", fmt.Sprintf(`{"topic":"orders","consumer_id":%d,"offset":3,"wait":1}`, id))
	if r.status != http.StatusOK || !strings.Contains(r.text, `"messages":[]`) {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// Row 85: a client that never reads its answer does not keep the handler for ever.
func TestAnswerDeadline(t *testing.T) {
	t.Parallel()
	config := api.Config{BodyTimeout: 200 * time.Millisecond, BodyBytesPerSecond: 1 << 40}
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(config))
	producer, _, err := w.Broker.RegisterProducer(t.Context(), "large", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		text := service.Payload{Bytes: []byte(strings.Repeat("x", 1<<20))}
		_, err := w.Broker.Produce(t.Context(), service.ProduceRequest{Topic: "large", Producer: producer.ID, Payloads: []service.Payload{text}})
		if err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	server := newHTTPServer(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Handler.ServeHTTP(rw, r)
	}), config)
	connection := dial(t, server.URL)
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096)
	}
	_, _ = fmt.Fprintf(connection, "GET /topics/large/messages?offset=0&max_bytes=8388608 HTTP/1.1\r\nHost: localhost:%s\r\n\r\n",
		server.URL[strings.LastIndex(server.URL, ":")+1:])
	select {
	case <-ended:
	case <-time.After(rawTimeout):
		t.Error("the handler still writes")
	}
}

// Row 88: requests on one connection are answered one after another.
func TestPipeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	connection := dial(t, w.URL)
	host := strings.TrimPrefix(w.URL, "http://")
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 1000 {
			_, _ = io.WriteString(connection, strings.ReplaceAll(post("/topics", fmt.Sprintf(`{"name":"t%d"}`, i)), "%HOST%", host))
		}
	}()
	reader := bufio.NewReader(connection)
	for i := range 1000 {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if want := fmt.Sprintf(`"topic":"t%d"`, i); !strings.Contains(string(text), want) {
			t.Fatalf("answer %d is %s", i, text)
		}
	}
	<-written
}

// TestLengthAndChunks: a body with a length and with chunks may be taken for a shorter or a longer one
// by a proxy. Whatever is answered, what follows on the connection is no request.
func TestLengthAndChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	host := strings.TrimPrefix(w.URL, "http://")
	const asJSON = "Content-Type: application/json"
	for _, c := range []struct {
		line, header, body string
		want               int
	}{
		{"POST /topics", asJSON, `{"name":"chunks"}`, malformed},
		{"POST /topics", asJSON, "", malformed},
		{"POST /topics", "Content-Type: text/plain", "{}", malformed},
		{"POST /nothing", asJSON, "{}", malformed},
		{"POST /healthz", asJSON, "{}", malformed},
		{"GET /healthz", asJSON, "{}", malformed},
		{"GET /docs/swagger-ui.css", asJSON, "{}", malformed},
		{"POST /topics", asJSON + "\r\nOrigin: http://evil.test", "{}", malformed},
		{"POST http://evil.test/topics", asJSON, "{}", malformed},
	} {
		connection := dial(t, w.URL)
		chunks := "0\r\n\r\n"
		if c.body != "" {
			chunks = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(c.body), c.body)
		}
		_, _ = fmt.Fprintf(connection, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n%sGET /info HTTP/1.1\r\nHost: %s\r\n\r\n",
			c.line, host, c.header, chunks, host)
		reader := bufio.NewReader(connection)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != c.want || !response.Close {
			t.Errorf("%s, %s: %d, closed: %t", c.line, c.header, response.StatusCode, response.Close)
		}
		if more, _ := io.ReadAll(reader); len(more) > 0 {
			t.Errorf("%s, %s: a second answer: %.100s", c.line, c.header, more)
		}
	}
}

// TestHead: load balancers ask for the head of the two answers alone.
func TestHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	head := func(target string, want int) {
		t.Helper()
		a := w.raw("HEAD " + target + " HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n")
		got := w.send(http.MethodGet, target, "")
		if a.status != want || a.text != "" || a.header.Get("Content-Length") != strconv.Itoa(len(got.text)) {
			t.Errorf("HEAD %s: %d %q %v, want %d", target, a.status, a.text, a.header, want)
		}
	}
	head("/healthz", ok)
	head("/readyz", ok)
	head("/healthz?x=1", malformed)
	fault := errors.New("the disk is on fire")
	w.fault.Store(&fault)
	head("/readyz", http.StatusServiceUnavailable)
	head("/healthz", ok)
	w.fault.Store(nil)
	if r := w.send(http.MethodPost, "/readyz", ""); r.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /readyz: %d %v", r.status, r.header)
	}
}

// Row 61: nothing that came in stands in a header of an answer.
func TestNothingIsEchoedInHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	for _, text := range []string{
		get("/topics/x%0d%0aInjected:%20yes"), get("/topics?a%0d%0aInjected:%20yes=1"), get("/Injected%0d%0aInjected:%20yes"),
		post("/topics", `{"a\r\nInjected: yes":1}`), post("/topics", `{"name":"\r\nInjected: yes"}`),
	} {
		a := w.raw(text)
		if a.status < 400 || a.header.Get("Injected") != "" || strings.Contains(fmt.Sprint(a.header), "Injected") {
			t.Errorf("%q answers %d %v", text, a.status, a.header)
		}
	}
}

// TestRacingConsumers: eight clients that consume plainly by one id get eight different messages.
func TestRacingConsumers(t *testing.T) {
	t.Parallel()
	const clients, each = 8, 25
	w := newWorld(t, nothing(), service.Limits{})
	id := w.send(http.MethodPost, "/producer/register", `{"topic":"race"}`).id("producer_id")
	var messages []string
	for i := range clients * each {
		messages = append(messages, fmt.Sprintf(`{"message":"%d"}`, i))
	}
	w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(`{"topic":"race","producer_id":%d,"messages":[%s]}`, id, strings.Join(messages, ",")))
	consumer := w.send(http.MethodPost, "/consumer/register", `{"topic":"race"}`).id("consumer_id")
	var mu sync.Mutex
	got := map[string]int64{}
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			for range each {
				var r result
				if i%2 == 0 {
					r = w.send(http.MethodGet, fmt.Sprintf("/consumer/consume?topic=race&consumer_id=%d", consumer), "")
				} else {
					r = w.send(http.MethodPost, "/consumer/consume", fmt.Sprintf(`{"topic":"race","consumer_id":%d}`, consumer))
				}
				text, _ := r.values["message"].(string)
				mu.Lock()
				if _, twice := got[text]; twice || r.status != http.StatusOK {
					t.Errorf("%d %s, twice: %t", r.status, r.text, twice)
				}
				got[text] = r.id("offset")
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for i := range clients * each {
		if got[strconv.Itoa(i)] != int64(i)+1 {
			t.Errorf("message %d was answered with offset %d", i, got[strconv.Itoa(i)])
		}
	}
	if r := w.send(http.MethodGet, fmt.Sprintf("/consumer/consume?topic=race&consumer_id=%d", consumer), ""); r.code() != "no_message" {
		t.Errorf("at the end: %s", r.text)
	}
}

// TestNothingIsMovedForNobody: whoever goes away while it waits for a message leaves it to the next.
func TestNothingIsMovedForNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	ended := make(chan struct{})
	server := newHTTPServer(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Handler.ServeHTTP(rw, r)
		ended <- struct{}{}
	}), api.Config{})
	producer := w.send(http.MethodPost, "/producer/register", `{"topic":"t"}`).id("producer_id")
	consumer := w.send(http.MethodPost, "/consumer/register", `{"topic":"t"}`).id("consumer_id")
	const path = "/consumer/consume"
	query := fmt.Sprintf("%s?topic=t&consumer_id=%d&wait=60", path, consumer)
	body := fmt.Sprintf(`{"topic":"t","consumer_id":%d,"wait":60}`, consumer)
	for _, text := range []string{
		post(path, body), get(query), strings.Replace(post(path, body), "POST", "GET", 1), post(query, ""),
		fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %%HOST%%\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			path, len(body), body),
	} {
		connection := dial(t, server.URL)
		_, _ = io.WriteString(connection, strings.ReplaceAll(text, "%HOST%", strings.TrimPrefix(server.URL, "http://")))
		_ = connection.Close()
		select {
		case <-ended:
		case <-time.After(rawTimeout):
			t.Fatalf("%q still waits", text)
		}
	}
	w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(`{"topic":"t","producer_id":%d,"message":"x"}`, producer))
	if r := w.send(http.MethodGet, fmt.Sprintf("/size?topic=t&consumer_id=%d", consumer), ""); r.id("size") != 1 {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// TestHosts: which values of the Host header are served.
func TestHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{AllowedHosts: []string{"Broker.test", "other.test:99"}}))
	port := w.URL[strings.LastIndex(w.URL, ":"):]
	for host, want := range map[string]int{
		"localhost" + port: ok, "LOCALHOST" + port: ok, "127.0.0.1" + port: ok, "[::1]" + port: ok,
		"localhost": http.StatusMisdirectedRequest, "localhost:1": http.StatusMisdirectedRequest, "[::1]": http.StatusMisdirectedRequest,
		"broker.test": ok, "BROKER.TEST:1": ok, "other.test:99": ok, "other.test": http.StatusMisdirectedRequest,
		"localhost." + port: http.StatusMisdirectedRequest, "127.0.0.2" + port: http.StatusMisdirectedRequest,
		"x.broker.test": http.StatusMisdirectedRequest, "localhost:x": http.StatusMisdirectedRequest,
	} {
		if a := w.raw(get("/healthz", "Host: "+host)); a.status != want {
			t.Errorf("Host: %s answers %d, want %d", host, a.status, want)
		}
	}
	anyHost := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{AllowAnyHost: true}))
	if a := anyHost.raw(get("/healthz", "Host: evil.test")); a.status != ok {
		t.Errorf("with AllowAnyHost: %d", a.status)
	}
	if a := anyHost.raw("GET /healthz HTTP/1.0\r\n\r\n"); a.status != malformed {
		t.Errorf("no host at all: %d", a.status)
	}
}

// TestShutdown: a broker that is closing answers, and says so.
func TestShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{})
	id := w.fill("orders")
	if err := w.CloseBroker(); err != nil {
		t.Fatal(err)
	}
	if r := w.send(http.MethodPost, "/consumer/consume", fmt.Sprintf(`{"topic":"orders","consumer_id":%d}`, id)); r.code() != "unavailable" {
		t.Errorf("%d %s", r.status, r.text)
	}
}
