package service_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// followedKey marks the contexts of requests that are to be followed.
type followedKey struct{}

// tracer follows the requests whose context says so, and keeps what it was told.
type tracer struct {
	mu    sync.Mutex
	asked int
	seen  []committed
}

type committed struct {
	work     service.Work
	err      error
	followed []service.Followed
}

func (r *tracer) Follow(ctx context.Context, topic service.TopicName) service.Followed {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if name, ok := ctx.Value(followedKey{}).(string); ok {
		return name + " on " + string(topic)
	}
	return nil
}

func (r *tracer) Committed(g service.Group, began time.Time, followed []service.Followed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(began) < g.Took {
		panic("it lasted longer than since its beginning")
	}
	r.seen = append(r.seen, committed{g.Work, g.Err, slices.Clone(followed)})
}

func (r *tracer) all() []committed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func TestTracerFollowsRequests(t *testing.T) {
	t.Parallel()
	var seen tracer
	f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Tracer: &seen}))
	produce := func(ctx context.Context) {
		t.Helper()
		if _, err := f.Produce(ctx, service.ProduceRequest{
			Topic: topicName, Producer: f.producer, Payloads: []service.Payload{{Bytes: []byte("abc")}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	produce(t.Context()) // nobody asks for it
	ctx := context.WithValue(t.Context(), followedKey{}, "one")
	produce(ctx)
	if _, err := f.Consume(ctx, service.ConsumeRequest{Topic: topicName, Consumer: f.consumer}); err != nil {
		t.Fatal(err)
	}
	got := seen.all()
	want := service.Followed("one on " + string(topicName))
	if len(got) != 2 || got[0].work != service.WorkAppend || got[1].work != service.WorkMove ||
		!slices.Equal(got[0].followed, []service.Followed{want}) || !slices.Equal(got[1].followed, got[0].followed) {
		t.Errorf("told of %v, want of one append and one move for %v", got, want)
	}
	if seen.asked != 3 {
		t.Errorf("asked %d times, want 3", seen.asked)
	}
}

// A transaction that failed and is tried once more is two groups of the same request.
func TestTracerIsToldOfEachAttempt(t *testing.T) {
	t.Parallel()
	var seen tracer
	var once sync.Once
	store := &dbtest.Faulty{Store: memory.New(memory.Config{}), Before: func(method string) (err error) {
		if method == "Append" {
			once.Do(func() { err = service.ErrUnavailable })
		}
		return err
	}}
	f := setup(t, open(t, store, service.Config{Tracer: &seen}))
	ctx := context.WithValue(t.Context(), followedKey{}, "two")
	if _, err := f.Produce(ctx, service.ProduceRequest{
		Topic: topicName, Producer: f.producer, Payloads: []service.Payload{{Bytes: []byte("abc")}},
	}); err != nil {
		t.Fatal(err)
	}
	got := seen.all()
	if len(got) != 2 || service.CodeOf(got[0].err) != service.CodeUnavailable || got[1].err != nil ||
		!slices.Equal(got[0].followed, got[1].followed) {
		t.Errorf("told of %v, want of a failure and a success of one request", got)
	}
}
