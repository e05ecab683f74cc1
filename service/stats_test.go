package service_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// groups is an observer that keeps what it was told.
type groups struct {
	mu   sync.Mutex
	seen []service.Group
}

func (g *groups) Grouped(group service.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	group.Took = 0
	g.seen = append(g.seen, group)
}

func (g *groups) of(work service.Work) []service.Group {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.seen), func(group service.Group) bool { return group.Work != work })
}

func TestObserverIsToldOfEachGroup(t *testing.T) {
	t.Parallel()
	var seen groups
	f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Observer: &seen}))
	if _, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: []service.Payload{
		{Bytes: []byte("abc"), Headers: service.Headers{"k": "v"}}, {Bytes: []byte("de")},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer}); err != nil {
		t.Fatal(err)
	}
	if want := []service.Group{{Work: service.WorkAppend, Requests: 1, Messages: 2, Bytes: 7}}; !slices.Equal(seen.of(service.WorkAppend), want) {
		t.Errorf("appends: %+v, want %+v", seen.of(service.WorkAppend), want)
	}
	if want := []service.Group{{Work: service.WorkMove, Requests: 1, Messages: 1, Bytes: 5}}; !slices.Equal(seen.of(service.WorkMove), want) {
		t.Errorf("moves: %+v, want %+v", seen.of(service.WorkMove), want)
	}
}

func TestObserverIsToldOfFailures(t *testing.T) {
	t.Parallel()
	var seen groups
	store := &dbtest.Faulty{Store: memory.New(memory.Config{}), Before: func(method string) error {
		if method == "Append" {
			return service.ErrStorageFull
		}
		return nil
	}}
	f := setup(t, open(t, store, service.Config{Observer: &seen}))
	_, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("a")})
	if !errors.Is(err, service.ErrStorageFull) {
		t.Fatal(err)
	}
	told := seen.of(service.WorkAppend)
	if len(told) != 1 || !errors.Is(told[0].Err, service.ErrStorageFull) || told[0].Messages != 0 || told[0].Requests != 1 {
		t.Errorf("told of %+v", told)
	}
}

func TestStatsCountWhereReadsAreAnswered(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Config{})
	f := setup(t, open(t, store, service.Config{}))
	if _, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("a", "b")}); err != nil {
		t.Fatal(err)
	}
	read := func(offset service.Offset) {
		t.Helper()
		if r, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: &offset}); err != nil || len(r.Messages) == 0 {
			t.Fatal(r, err)
		}
	}
	read(1) // all that was appended is in memory
	if s := f.Stats(); s.TailHits != 1 || s.TailMisses != 0 || s.TailBytes == 0 || s.Topics != 1 {
		t.Errorf("%+v", s)
	}
	// What another broker has appended is not.
	head, err := store.Heads(t.Context(), []service.TopicName{topicName})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), []service.AppendRequest{
		{Topic: head[0].ID, Producer: f.producer, Seq: service.NoSeq, Payloads: payloads("c")},
	}, time.Now()); err != nil {
		t.Fatal(err)
	}
	read(2)
	if s := f.Stats(); s.TailHits != 1 || s.TailMisses != 1 {
		t.Errorf("%+v", s)
	}
}

// A queue that is full counts what it refuses, and shows what it holds while a group is under way.
func TestStatsShowQueues(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &dbtest.Faulty{Store: memory.New(memory.Config{}), Before: func(method string) error {
		if method == "Append" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	}}
	f := setup(t, open(t, store, service.Config{Limits: service.Limits{QueueRequests: 1, Waiters: 1}}))
	produced := make(chan error, 1)
	produce := func() error {
		_, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("a")})
		return err
	}
	go func() { produced <- produce() }()
	<-entered
	if q := f.Stats().Queues["append"]; q.Requests != 1 || q.Bytes < 1 || q.Refused != 0 {
		t.Errorf("under way: %+v", q)
	}
	if err := produce(); !errors.Is(err, service.ErrOverloaded) {
		t.Errorf("a full queue answers %v", err)
	}
	close(leave)
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	wait, limit := time.Minute, 1
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan struct{})
	poll := func(ctx context.Context) error {
		offset := service.Offset(1)
		_, err := f.Read(ctx, service.ReadRequest{Topic: topicName, Offset: &offset, Limit: &limit, Wait: &wait})
		return err
	}
	go func() {
		defer close(polled)
		_ = poll(ctx)
	}()
	for f.Stats().Waiting.Requests == 0 {
		if ctx.Err() != nil {
			t.Fatal("nobody waits")
		}
		<-time.After(time.Millisecond) // there is no event to wait for
	}
	if err := poll(ctx); !errors.Is(err, service.ErrOverloaded) {
		t.Errorf("too many who wait: %v", err)
	}
	cancel()
	<-polled
	s := f.Stats()
	if q := s.Queues["append"]; q.Refused != 1 {
		t.Errorf("after all: %+v", q)
	}
	if s.Waiting != (service.QueueStats{Refused: 1}) {
		t.Errorf("after all: %+v", s.Waiting)
	}
}

func TestLags(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(memory.Config{}), service.Config{})
	for _, topic := range []service.TopicName{"a", "b", "c"} {
		p, _, err := b.RegisterProducer(t.Context(), topic, "", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "one", "two"} {
			if _, _, err := b.RegisterConsumer(t.Context(), topic, name, service.FromBeginning); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Produce(t.Context(), service.ProduceRequest{Topic: topic, Producer: p.ID, Payloads: payloads("x", "y")}); err != nil {
			t.Fatal(err)
		}
	}
	lags, all, err := b.Lags(t.Context(), 100)
	if err != nil || !all || len(lags) != 6 || lags[0] != (service.ConsumerLag{Topic: "a", Consumer: "one", Lag: 2}) ||
		lags[5] != (service.ConsumerLag{Topic: "c", Consumer: "two", Lag: 2}) {
		t.Errorf("%+v, all: %v, %v", lags, all, err)
	}
	if lags, all, err := b.Lags(t.Context(), 6); len(lags) != 6 || !all || err != nil {
		t.Errorf("exactly as many: %+v, all: %v, %v", lags, all, err)
	}
	if lags, all, err := b.Lags(t.Context(), 3); len(lags) != 3 || all || err != nil {
		t.Errorf("some: %+v, all: %v, %v", lags, all, err)
	}
}
