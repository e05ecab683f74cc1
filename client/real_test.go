package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/gen/wire"
)

// dial makes a client of a real broker, whose connections fail as fault says.
func dial(t *testing.T, url string, fault func(*request) fault) *Client {
	t.Helper()
	transport := newTransport()
	c, err := New(url,
		WithHTTPClient(&http.Client{Transport: &link{next: transport, fault: fault}}),
		WithRetry(Retry{Attempts: 100, Base: time.Millisecond, Max: 5 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		transport.CloseIdleConnections()
	})
	return c
}

// chaos fails about half of all requests, in each way that passes quickly.
func chaos(seed uint64) func(*request) fault {
	random := rand.New(rand.NewPCG(seed, seed))
	kinds := []fault{
		faultNone, faultNone, faultNone, faultNone, faultNone,
		faultNoDial, faultLost, faultReply, faultReply, faultShort, fault500,
	}
	return func(*request) fault { return kinds[random.IntN(len(kinds))] }
}

// With the real broker behind a bad network: every message of a named producer is stored once, in order per
// goroutine, and every consumer gets each once, in the order of the topic.
func TestExactlyOnceOnABadNetwork(t *testing.T) {
	t.Parallel()
	const topics, senders, each = 3, 8, 50
	b := apitest.Serve(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := dial(t, b.URL, chaos(seed))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var names []string
	var group sync.WaitGroup
	for i := range topics {
		name := fmt.Sprint("topic-", i)
		names = append(names, name)
		p := openProducer(t, c, name, Name("shop"), MaxBatchMessages(20))
		for g := range senders {
			group.Go(func() {
				for i := range each {
					if _, err := p.Send(ctx, Text(fmt.Sprintf("%d/%d", g, i))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		t.Cleanup(func() { _ = p.Close(context.WithoutCancel(ctx)) })
	}
	group.Wait()

	got := map[string][]Message{}
	var mu sync.Mutex
	s := openConsumer(t, c, names, Name("all"), MaxMessages(7), Wait(time.Second), Timeout(time.Second))
	err := s.Run(ctx, func(_ context.Context, m Message) error {
		mu.Lock()
		defer mu.Unlock()
		got[m.Topic] = append(got[m.Topic], m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		checkHistory(t, name, got[name], senders, each)
	}
}

func checkHistory(t *testing.T, topic string, messages []Message, senders, each int) {
	t.Helper()
	if len(messages) != senders*each {
		t.Errorf("%s has %d messages", topic, len(messages))
	}
	next := map[string]int{}
	for i, m := range messages {
		if m.Offset != int64(i) || m.Seq == nil || *m.Seq != int64(i) || m.ProdName != "shop" || m.CreatedAt.IsZero() {
			t.Fatalf("%s: message %d is %+v", topic, i, m)
		}
		sender, n, _ := strings.Cut(string(m.Value), "/")
		if n != strconv.Itoa(next[sender]) {
			t.Fatalf("%s: %s after %d of the same sender", topic, m.Value, next[sender])
		}
		next[sender]++
	}
}

func TestKindsAndHeaders(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	p := openProducer(t, c, "kinds", Headers(map[string]string{"from": "test", "lang": "en"}))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	sent := []Message{
		Text("plain"), Text(""), Text("\u0000 <&> \u2028 \U0001F600 \ufffd \\ \""), Bytes(every), Bytes(nil),
		{},
		{Value: []byte("x"), Headers: map[string]string{"lang": "de", "more": "\u0000"}},
	}
	if _, err := p.SendBatch(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Message{
		Text("\xff"), {Headers: map[string]string{"\xff": ""}}, {Headers: map[string]string{"x": "\xff"}},
	} {
		if _, err := p.Send(t.Context(), bad); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%q: %v", bad.Value, err)
		}
	}
	s := openConsumer(t, c, []string{"kinds"})
	got, err := s.Poll(t.Context())
	if err != nil || len(got) != len(sent) {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		if string(m.Value) != string(sent[i].Value) || m.Binary != sent[i].Binary || m.Headers["from"] != "test" {
			t.Errorf("sent %+v, got %+v", sent[i], m)
		}
	}
	if last := got[len(got)-1].Headers; last["lang"] != "de" || last["more"] != "\u0000" || got[0].Headers["lang"] != "en" {
		t.Errorf("headers %v", last)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRealFencingAndDeletedTopic(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	old := openProducer(t, c, "orders", Name("shop"))
	if _, err := old.SendBatch(t.Context(), numbered("m", 3)); err != nil {
		t.Fatal(err)
	}
	young := openProducer(t, c, "orders", Name("shop"))
	_, err := old.Send(t.Context(), Text("late"))
	if e := asError(err); !errors.Is(err, ErrProducerFenced) || e.Epoch == nil || *e.Epoch != young.Epoch() {
		t.Errorf("the old session: %v", err)
	}
	if r, err := young.Send(t.Context(), Text("next")); err != nil || r.Offset != 3 || r.Seq != 3 {
		t.Errorf("the new session: %+v, %v", r, err)
	}
	named := openConsumer(t, c, []string{"orders"}, Name("n"))
	anonymous := openConsumer(t, c, []string{"orders"})
	if got, err := named.Poll(t.Context()); err != nil || len(got) != 4 {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if err := named.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := anonymous.Close(t.Context()); err != nil {
		t.Error(err)
	}
	topic, err := c.DescribeTopic(t.Context(), "orders")
	if err != nil || topic.Consumers != 1 || topic.Messages != 4 || topic.Incarnation != young.Incarnation() {
		t.Errorf("%+v, %v", topic, err)
	}
	if err := c.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := young.Send(t.Context(), Text("x")); !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("Send: %v", err)
	}
	if _, err := named.Poll(t.Context()); !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("Poll: %v", err)
	}
	for _, p := range []*Producer{old, young} {
		if err := p.Close(t.Context()); err == nil {
			t.Error("Close should tell of the stop")
		}
	}
}

func TestTopicsAndBroker(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := dial(t, apitest.Serve(t).URL, nil)
	var want []string
	for i := range 7 {
		name := fmt.Sprint("t", i)
		want = append(want, name)
		if err := c.CreateTopic(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.CreateTopic(ctx, "t0"); !errors.Is(err, ErrTopicExists) {
		t.Errorf("create twice: %v", err)
	}
	if err := c.CreateTopic(ctx, ".."); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := c.DescribeTopic(ctx, "missing"); !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("describe: %v", err)
	}
	page, err := c.ListTopics(ctx, ListTopics{Prefix: "t", Limit: 3, After: "t1"})
	if err != nil || !slices.Equal(page.Names, want[2:5]) || page.Next != "t4" {
		t.Errorf("%+v, %v", page, err)
	}
	var all []string
	for name, err := range c.Topics(ctx, "t") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if !slices.Equal(all, want) {
		t.Errorf("topics %v", all)
	}
	if err := errors.Join(c.Health(ctx), c.Ready(ctx), c.DeleteTopic(ctx, "t0")); err != nil {
		t.Error(err)
	}
	info, err := c.Info(ctx)
	limits := reflect.TypeFor[wire.Limits]().NumField()
	if err != nil || info.Engine != "memory" || info.Limits["message_bytes"] != 1<<20 || len(info.Limits) != limits {
		t.Errorf("%+v, %v", info, err)
	}
	for _, err := range c.Topics(ctx, "t") {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

// A real broker answers the positions that are outside a topic as the SDK expects.
func TestRealPositions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := dial(t, apitest.Serve(t).URL, nil)
	p := openProducer(t, c, "orders")
	if _, err := p.SendBatch(ctx, numbered("m", 10)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Consumer(ctx, []string{"orders"}, From(At(11))); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("From: %v", err)
	}
	if _, err := c.Consumer(ctx, []string{"orders", "missing"}); !errors.Is(err, ErrTopicNotFound) ||
		!strings.Contains(err.Error(), "topic missing") {
		t.Errorf("a missing topic: %v", err)
	}
	if topic, err := c.DescribeTopic(ctx, "orders"); err != nil || topic.Consumers != 0 {
		t.Errorf("%d consumers are left, %v", topic.Consumers, err)
	}
	s := openConsumer(t, c, []string{"orders"}, Name("n"), From(End), Wait(0))
	if got, err := s.Poll(ctx); err != nil || len(got) != 0 {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if err := s.Seek(ctx, "orders", 11); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("Seek: %v", err)
	}
	if err := s.Seek(ctx, "orders", 7); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Poll(ctx); err != nil || texts(got) != "m7 m8 m9" {
		t.Errorf("%s, %v", texts(got), err)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	again := openConsumer(t, c, []string{"orders"}, Name("n"))
	if position, _ := again.Position("orders"); position.Offset != 7 {
		t.Errorf("the Poll was not followed by another, but the position is %d", position.Offset)
	}
	resumed := openConsumer(t, c, []string{"orders"}, Name("n"),
		Offsets(map[string]Position{"orders": {Offset: 2, Incarnation: again.subs[0].incarnation}}), MaxBytes(1))
	if got, err := resumed.Poll(ctx); err != nil || texts(got) != "m2" {
		t.Errorf("%s, %v", texts(got), err)
	}
}
