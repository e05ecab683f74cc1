package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/api/apitest"
)

// held is a handler whose requests with the given part in their body wait: they are handed to late, and the
// connection stays open until the client gives it up or late is done.
func held(handler http.Handler, part string, late func(pass func())) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(raw))
		if r.URL.Path != consumePath || !strings.Contains(string(raw), part) {
			handler.ServeHTTP(w, r)
			return
		}
		rec, done := httptest.NewRecorder(), make(chan struct{})
		go func() {
			defer close(done)
			late(func() { handler.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context()))) })
		}()
		select {
		case <-done:
			w.WriteHeader(rec.Code)
			_, _ = io.Copy(w, rec.Body)
		case <-r.Context().Done():
		}
	})
}

// startPoll makes a poll leave, and gives up waiting for it.
func startPoll(t *testing.T, s *Consumer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Poll(ctx)
		done <- err
	}()
	synctest.Wait()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// A Seek waits for a poll that was just sent, so that it does not undo the Seek.
func TestSeekLetsAPollEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		c, _ := connect(t, held(f, `"offset":5`, func(pass func()) {
			_ = sleep(context.WithoutCancel(t.Context()), readTime/2)
			pass()
		}), nil)
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(5), Name("n"))
		if _, err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		startPoll(t, s)
		start := time.Now()
		if err := s.Seek(t.Context(), "orders", 1); err != nil || time.Since(start) != readTime/2 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if got := f.committed("orders", "n"); got != 1 {
			t.Errorf("the broker has %d", got)
		}
		if messages, err := s.Poll(t.Context()); err != nil || texts(messages) != "m1 m2 m3 m4 m5" {
			t.Errorf("%s, %v", texts(messages), err)
		}
	})
}

// A poll that the broker comes to only after the Seek is noticed, once: the next time it is somebody else.
func TestLatePollAfterSeek(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		release := make(chan struct{})
		c, _ := connect(t, held(f, `"offset":5`, func(pass func()) {
			<-release
			pass()
		}), nil)
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(5), Name("n"))
		if _, err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		startPoll(t, s)
		start := time.Now()
		if err := s.Seek(t.Context(), "orders", 1); err != nil || time.Since(start) != readTime {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		close(release)
		synctest.Wait()
		if got := f.committed("orders", "n"); got != 5 {
			t.Fatalf("the late poll was not there: the broker has %d", got)
		}
		if messages, err := s.Poll(t.Context()); err != nil || texts(messages) != "m1 m2 m3 m4 m5" {
			t.Errorf("%s, %v", texts(messages), err)
		}
		if got := f.committed("orders", "n"); got != 1 {
			t.Errorf("the broker has %d", got)
		}
		if err := s.Seek(t.Context(), "orders", 1); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		for _, consumer := range f.consumers {
			consumer.offset = 5
		}
		f.mu.Unlock()
		if messages, err := s.Poll(t.Context()); !errors.Is(err, ErrOffsetBehind) {
			t.Errorf("overtaken by another: %s, %v", texts(messages), err)
		}
	})
}

// A Commit and a Seek wait for each other, so that neither undoes the other.
func TestCommitBesideSeek(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fillTopic(t, f, "orders", "m", 10)
		hold, first := make(chan struct{}), make(chan struct{}, 1)
		c, l := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/consumer/set_offset" {
				select {
				case first <- struct{}{}:
					<-hold
				default:
				}
			}
			f.ServeHTTP(w, r)
		}), nil)
		s := openConsumer(t, c, []string{"orders"}, MaxMessages(5), Name("n"))
		if _, err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		go func() { done <- s.Commit(t.Context()) }()
		synctest.Wait()
		go func() { done <- s.Seek(t.Context(), "orders", 1) }()
		synctest.Wait()
		if n := len(l.to("/consumer/set_offset")); n != 1 {
			t.Errorf("%d positions were set at the same time", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Commit(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Commit that waits: %v", err)
		}
		close(hold)
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
		if got := f.committed("orders", "n"); got != 1 {
			t.Errorf("the broker has %d", got)
		}
		if messages, err := s.Poll(t.Context()); err != nil || texts(messages) != "m1 m2 m3 m4 m5" {
			t.Errorf("%s, %v", texts(messages), err)
		}
	})
}

// With a real broker and a real transport, polls that were just sent do not undo a Seek.
func TestRealSeekBesidePolls(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	p := openProducer(t, c, "orders")
	if _, err := p.SendBatch(t.Context(), numbered("m", 20)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	s := openConsumer(t, c, []string{"orders"}, MaxMessages(5), Name("n"))
	for i := range 100 {
		if messages, err := s.Poll(t.Context()); err != nil || len(messages) == 0 {
			t.Fatalf("round %d: %s, %v", i, texts(messages), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(400*time.Microsecond))
		_, _ = s.Poll(ctx) // begins a poll further on
		cancel()
		if err := s.Seek(t.Context(), "orders", 1); err != nil {
			t.Fatal(err)
		}
	}
}
