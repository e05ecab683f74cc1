package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// cutting is a network that cuts each stream after some bytes.
type cutting struct {
	next    http.RoundTripper
	after   func() int
	streams atomic.Int64 // that were opened
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	rsp, err := c.next.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/stream") && rsp.StatusCode == http.StatusOK {
		c.streams.Add(1)
		if c.after != nil {
			rsp.Body = &shortBody{ReadCloser: rsp.Body, left: c.after()}
		}
	}
	return rsp, err
}

// dialStreams makes a client of a real broker, whose streams are cut after so many bytes; nil never cuts them.
func dialStreams(t *testing.T, url string, fault func(*request) fault, after func() int) (*Client, *cutting) {
	t.Helper()
	transport := newTransport()
	network := &cutting{next: transport, after: after}
	c, err := New(url,
		WithHTTPClient(&http.Client{Transport: &link{next: network, fault: fault}}),
		WithRetry(Retry{Attempts: 100, Base: time.Millisecond, Max: 5 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		transport.CloseIdleConnections()
	})
	return c, network
}

// send stores messages while others read.
func send(ctx context.Context, t *testing.T, url string, total int) func() {
	t.Helper()
	sender := dial(t, url, nil)
	return func() {
		p, err := sender.Producer(ctx, "orders", MaxBatchMessages(5))
		if err == nil {
			_, err = p.SendBatch(ctx, numbered("m", total))
			err = errors.Join(err, p.Close(ctx))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// With the real broker behind a bad network, which cuts the streams as well, Run hands out each message once
// and in order, and the broker knows where it ended.
func TestStreamOnABadNetwork(t *testing.T) {
	t.Parallel()
	const total = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	_, b := filled(t, 0, nil)
	c, network := dialStreams(t, b.URL, chaos(seed), func() int { return 10 + random.IntN(3000) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(send(ctx, t, b.URL, total))

	s := openConsumer(t, c, []string{"orders"}, Name("all"), Stream())
	done := errors.New("all there")
	var got []string
	err := s.Run(ctx, func(_ context.Context, m Message) error {
		got = append(got, string(m.Value))
		if len(got) == total {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatalf("after %d messages: %v", len(got), err)
	}
	for i, text := range got {
		if text != fmt.Sprint("m", i) {
			t.Fatalf("message %d is %s", i, text)
		}
	}
	if network.streams.Load() < 2 {
		t.Errorf("%d streams were opened: none was cut", network.streams.Load())
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	state, err := dial(t, b.URL, nil).ConsumerState(ctx, "orders", "all")
	if err != nil || state.Offset != total-1 { // the last handler has failed
		t.Errorf("the broker has %+v, %v", state, err)
	}
}

// Following by a stream does not ask for pages, and sees the same.
func TestPagesByStream(t *testing.T) {
	t.Parallel()
	const total = 100
	_, b := filled(t, 0, nil)
	random := rand.New(rand.NewPCG(1, 1))
	c, network := dialStreams(t, b.URL, nil, func() int { return 500 + random.IntN(5000) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(send(ctx, t, b.URL, total))
	n := 0
	for page, err := range c.Pages(ctx, "orders", ReadOptions{Follow: true, Stream: true, MaxMessages: 7}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Messages) > 7 || page.EndOffset < page.NextOffset || page.Incarnation == "" || page.offset() != int64(n) {
			t.Errorf("%d messages from %d to %d of %d", len(page.Messages), page.offset(), page.NextOffset, page.EndOffset)
		}
		for _, m := range page.Messages {
			if string(m.Value) != fmt.Sprint("m", n) {
				t.Fatalf("message %d is %s", n, m.Value)
			}
			n++
		}
		if n == total {
			break
		}
	}
	if network.streams.Load() == 0 {
		t.Error("there was no stream")
	}
}

// Poll, Messages and Seek work by a stream as by polls; the broker hears of the position though nothing is
// committed.
func TestStreamAndPositions(t *testing.T) {
	t.Parallel()
	_, b := filled(t, 5, nil)
	c, _ := dialStreams(t, b.URL, nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := openConsumer(t, c, []string{"orders"}, Name("all"), Stream(), MaxMessages(2), Wait(time.Second))
	poll := func(want string) {
		t.Helper()
		got, err := s.Poll(ctx)
		if err != nil || texts(got) != want {
			t.Fatalf("Poll: %q, %v, want %q", texts(got), err, want)
		}
	}
	poll("m0 m1")
	if err := s.Seek(ctx, "orders", 1); err != nil {
		t.Fatal(err)
	}
	poll("m1 m2")
	for m, err := range s.Messages(ctx) {
		if err != nil || string(m.Value) != "m3" {
			t.Fatalf("Messages: %s, %v", m.Value, err)
		}
		break
	}
	poll("m4")
	for {
		poll("")
		state, err := c.ConsumerState(ctx, "orders", "all")
		if err != nil {
			t.Fatal(err)
		}
		if state.Offset == 5 {
			return
		}
	}
}

// What retention took ends the consumer, as with polls; Seek goes on behind it.
func TestStreamOfWhatIsTrimmed(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	b := apitest.Serve(t, apitest.Store(store))
	ctx := t.Context()
	send(ctx, t, b.URL, 5)()
	c, _ := dialStreams(t, b.URL, nil, nil)
	s := openConsumer(t, c, []string{"orders"}, Stream())
	heads, err := store.Heads(ctx, []service.TopicName{"orders"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Trim(ctx, heads[0].ID, 3); err != nil {
		t.Fatal(err)
	}
	_, err = s.Poll(ctx)
	if e := asError(err); !errors.Is(err, ErrOffsetTrimmed) || e.FirstOffset == nil || *e.FirstOffset != 3 {
		t.Fatalf("Poll: %v", err)
	}
	if err := s.Seek(ctx, "orders", 3); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Poll(ctx); err != nil || texts(got) != "m3 m4" {
		t.Errorf("Poll: %s, %v", texts(got), err)
	}
}

// standIn answers streams in place of a broker.
type standIn struct {
	next   http.RoundTripper
	answer func(r *http.Request) *http.Response
	asked  atomic.Int64
}

func (s *standIn) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/stream") {
		return s.next.RoundTrip(r)
	}
	s.asked.Add(1)
	return s.answer(r), nil
}

func answerOf(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// Where there are no streams, polls do.
//
//nolint:bodyclose // bodies of tests, without a connection
func TestWithoutStreams(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*http.Response{
		"an older broker":             answerOf(404, "application/json", `{"status":"failure","code":"not_found","message":"nothing"}`),
		"a proxy that knows better":   answerOf(404, "text/html", "<html>"),
		"another method":              answerOf(405, "application/json", `{"status":"failure","code":"method_not_allowed","message":"no"}`),
		"not acceptable":              answerOf(406, "text/plain", ""),
		"a page in place of events":   answerOf(200, "text/html", "<html>"),
		"a head that nothing follows": answerOf(200, "text/event-stream", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b := filled(t, 3, nil)
			transport := newTransport()
			t.Cleanup(transport.CloseIdleConnections)
			s := &standIn{next: transport, answer: func(*http.Request) *http.Response { return answer }}
			c, err := New(b.URL, WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			consumer := openConsumer(t, c, []string{"orders"}, Stream(), MaxMessages(2), Wait(time.Second))
			for _, want := range []string{"m0 m1", "m2", ""} {
				if got, err := consumer.Poll(t.Context()); err != nil || texts(got) != want {
					t.Errorf("Poll: %q, %v, want %q", texts(got), err, want)
				}
			}
			for page, err := range c.Pages(t.Context(), "orders", ReadOptions{Follow: true, Stream: true, MaxMessages: 2}) {
				if err != nil {
					t.Fatal(err)
				}
				if page.NextOffset == 3 {
					break
				}
			}
			if n := s.asked.Load(); n != 2 {
				t.Errorf("a stream was asked for %d times, want once by each", n)
			}
		})
	}
}

// What a stream brings is checked before it is handed out.
func TestStreamIsChecked(t *testing.T) {
	t.Parallel()
	const zero = "id: 0.one\nevent: message\ndata: {\"offset\":0,\"message\":\"m0\",\"created_at\":\"2026-03-01T09:30:00Z\"}\n\n"
	one := strings.ReplaceAll(zero, "0.one", "1.one")
	one = strings.ReplaceAll(strings.ReplaceAll(one, `"offset":0`, `"offset":1`), "m0", "m1")
	for name, row := range map[string]struct {
		stream, want string
		code         string // of the error that follows
		passing      bool
	}{
		"two messages":             {":\n\n" + zero + one, "m0 m1", "", true},
		"comments in between":      {":\n\n" + zero + ": x\n\n:\n\n" + one, "m0 m1", "", true},
		"carriage returns":         {strings.ReplaceAll(":\n\n"+zero+one, "\n", "\r\n"), "m0 m1", "", true},
		"data on two lines":        {":\n\n" + strings.Replace(zero, `,"message`, ",\ndata: \"message", 1), "m0", "", true},
		"other fields and events":  {":\n\nretry: 9\nfoo: bar\nevent: news\ndata: {}\n\n" + zero, "m0", "", true},
		"the end":                  {":\n\n" + zero + "id: 0.one\nevent: caught-up\ndata: {\"next_offset\":1}\n\n" + one, "m0 m1", "", true},
		"cut in an event":          {":\n\n" + zero + one[:60], "m0", "", true},
		"an error":                 {":\n\n" + zero + "event: error\ndata: {\"status\":\"failure\",\"code\":\"unavailable\",\"message\":\"x\"}\n\n", "m0", "unavailable", true},
		"trimmed":                  {":\n\n" + zero + "id: 4.one\nevent: trimmed\ndata: {\"first_offset\":5}\n\n", "m0", "offset_trimmed", false},
		"a message is missing":     {":\n\n" + one, "", "", false},
		"a message twice":          {":\n\n" + zero + zero, "m0", "", false},
		"another history":          {":\n\n" + strings.Replace(zero, "0.one", "0.two", 1), "", "", false},
		"an id that is not its":    {":\n\n" + strings.Replace(zero, `"offset":0`, `"offset":7`, 1), "", "", false},
		"no JSON":                  {":\n\n" + strings.Replace(zero, `{"off`, `{off`, 1), "", "", false},
		"neither text nor bytes":   {":\n\n" + strings.Replace(zero, `"message":"m0",`, "", 1), "", "", false},
		"trimmed without a number": {":\n\nevent: trimmed\ndata: {}\n\n", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &standIn{answer: func(*http.Request) *http.Response { return answerOf(200, "text/event-stream", row.stream) }}
			c, err := New("http://broker.test", WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			f := &feed{client: c, topic: "orders"}
			defer f.close()
			var got []Message
			for err == nil {
				var messages []Message
				messages, err = f.next(t.Context(), Position{Offset: int64(len(got)), Incarnation: "one"}, time.Minute)
				got = append(got, messages...)
			}
			if e := asError(err); texts(got) != row.want || e.Code != row.code || e.passing != row.passing {
				t.Errorf("got %q, then %v (passes: %v)\nwant %q, then %q (passes: %v)",
					texts(got), err, e.passing, row.want, row.code, row.passing)
			}
		})
	}
}

// A stream without a sign of life is given up, and one that gives no first sign is not waited for.
func TestSilentStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{answer: func(r *http.Request) *http.Response {
			out, in := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = in.CloseWithError(context.Cause(r.Context())) })
			if strings.Contains(r.URL.Path, "talks") {
				go func() { _, _ = io.WriteString(in, ":\n\n") }()
			}
			rsp := answerOf(200, "text/event-stream", "")
			rsp.Body = out
			return rsp
		}}
		c, err := New("http://broker.test", WithHTTPClient(&http.Client{Transport: s}), WithTimeout(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		from := Position{Incarnation: "one"}
		talks, mute := &feed{client: c, topic: "talks"}, &feed{client: c, topic: "mute"}
		defer talks.close()
		defer mute.close()
		began := time.Now()
		if messages, err := talks.next(t.Context(), from, 5*time.Second); err != nil || messages != nil {
			t.Errorf("after 5 s: %v, %v", messages, err)
		}
		_, err = talks.next(t.Context(), from, time.Hour)
		if e := asError(err); !e.passing || time.Since(began) != streamSilence {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		_, err = mute.next(t.Context(), from, time.Hour)
		if !errors.Is(err, errNoStreams) || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		asked := s.asked.Load()
		if _, err := mute.next(t.Context(), from, 0); !errors.Is(err, errNoStreams) || s.asked.Load() != asked {
			t.Errorf("at once again: %v, asked %d times", err, s.asked.Load())
		}
	})
}

// A reader that takes its time is cut off by the broker, which has not failed: it is asked again, and no other one.
func TestStreamOfASlowReader(t *testing.T) {
	t.Parallel()
	for pause, hosts := range map[time.Duration]string{10 * time.Second: "one one", time.Millisecond: "one two"} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			s := &standIn{answer: func(r *http.Request) *http.Response {
				asked = append(asked, r.URL.Host)
				at := r.URL.Query().Get("offset")
				return answerOf(200, "text/event-stream", ":\n\nid: "+at+".one\nevent: message\n"+
					"data: {\"offset\":"+at+",\"message\":\"m"+at+"\",\"created_at\":\"2026-03-01T09:30:00Z\"}\n\n")
			}}
			c, err := New("http://one", Brokers("http://two"), WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			f := &feed{client: c, topic: "orders"}
			defer f.close()
			var got []Message
			for len(got) < 2 {
				if len(got) == 0 {
					if _, err := f.at(t.Context(), Position{Incarnation: "one"}); err != nil {
						t.Fatal(err)
					}
					<-time.After(pause) // what came waits
				}
				messages, err := f.next(t.Context(), Position{Offset: int64(len(got)), Incarnation: "one"}, time.Minute)
				if err != nil && (pause > streamLag || !asError(err).passing) {
					t.Fatal(err)
				}
				got = append(got, messages...)
			}
			if at := strings.Join(asked, " "); at != hosts || texts(got) != "m0 m1" {
				t.Errorf("after %s: %s has come, asked were %s, want %s", pause, texts(got), at, hosts)
			}
		})
	}
}

func TestStreamOptions(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]ConsumerOption{
		"no wait":   {Stream(), Wait(0)},
		"poll time": {Stream(), PollTime(time.Second)},
	} {
		if _, err := newConsumerConfig([]string{"orders"}, opts); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
