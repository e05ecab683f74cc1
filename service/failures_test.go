package service_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// hooked is a store with calls that tests can delay, fail, or rob of their answer: a hook gets the
// real call to make.
type hooked struct {
	service.Store
	calls atomic.Int64 // of Append

	mu        sync.Mutex
	append    hook[service.AppendPlan]
	read      hook[[]service.Message]
	heads     hook[[]service.Head]
	consumers hook[[]service.Consumer]
	move      hook[[]service.MoveResult]
	remove    hook[struct{}]
}

type hook[T any] func(call int, do func() (T, error)) (T, error)

// set changes hooks while calls may be under way.
func (h *hooked) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func through[T any](h *hooked, pick func() hook[T], do func() (T, error)) (T, error) {
	h.mu.Lock()
	f := pick()
	h.mu.Unlock()
	if f == nil {
		return do()
	}
	return f(int(h.calls.Load()), do)
}

func (h *hooked) Append(ctx context.Context, r []service.AppendRequest, now time.Time) (service.AppendPlan, error) {
	h.calls.Add(1)
	return through(h, func() hook[service.AppendPlan] { return h.append }, func() (service.AppendPlan, error) {
		return h.Store.Append(ctx, r, now)
	})
}

func (h *hooked) Read(ctx context.Context, id service.TopicID, from service.Offset, limit int, maxBytes int64) ([]service.Message, error) {
	return through(h, func() hook[[]service.Message] { return h.read }, func() ([]service.Message, error) {
		return h.Store.Read(ctx, id, from, limit, maxBytes)
	})
}

func (h *hooked) Heads(ctx context.Context, names []service.TopicName) ([]service.Head, error) {
	return through(h, func() hook[[]service.Head] { return h.heads }, func() ([]service.Head, error) {
		return h.Store.Heads(ctx, names)
	})
}

func (h *hooked) Consumers(ctx context.Context, ids []service.ConsumerID) ([]service.Consumer, error) {
	return through(h, func() hook[[]service.Consumer] { return h.consumers }, func() ([]service.Consumer, error) {
		return h.Store.Consumers(ctx, ids)
	})
}

func (h *hooked) Move(ctx context.Context, r []service.MoveRequest, tail service.ReadFunc, now time.Time) ([]service.MoveResult, error) {
	return through(h, func() hook[[]service.MoveResult] { return h.move }, func() ([]service.MoveResult, error) {
		return h.Store.Move(ctx, r, tail, now)
	})
}

func (h *hooked) DeleteTopic(ctx context.Context, name service.TopicName, at time.Time) error {
	_, err := through(h, func() hook[struct{}] { return h.remove }, func() (struct{}, error) {
		return struct{}{}, h.Store.DeleteTopic(ctx, name, at)
	})
	return err
}

func newHooked() *hooked { return &hooked{Store: memory.New(memory.Config{})} }

func (f *fixture) named(name string) service.Producer {
	f.t.Helper()
	p, _, err := f.RegisterProducer(f.t.Context(), topicName, name, "")
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) send(p service.Producer, seq int64, texts ...string) (service.ProduceResult, error) {
	return f.Produce(f.t.Context(), service.ProduceRequest{
		Topic: topicName, Producer: p.ID, ProdName: p.Name, Epoch: &p.Epoch, Seq: &seq, Payloads: payloads(texts...),
	})
}

func TestFailureBeforeCommitIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	for _, c := range []struct {
		failures int
		err      error
	}{{1, nil}, {2, service.ErrUnavailable}} {
		store.calls.Store(0)
		store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			if call <= c.failures {
				return service.AppendPlan{}, service.ErrUnavailable
			}
			return do()
		}
		_, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("x")})
		if !errors.Is(err, c.err) {
			t.Errorf("%d failures: %v, want %v", c.failures, err, c.err)
		}
	}
}

// A thousand clients cost a slow store a few commits, not a thousand.
func TestSlowCommitIsSharedByAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			<-time.After(time.Second)
			return do()
		}
		began := time.Now()
		var clients sync.WaitGroup
		for i := range 1000 {
			clients.Go(func() { f.produce(strconv.Itoa(i)) })
		}
		clients.Wait()
		want(t, "commits", store.calls.Load(), 2)
		want(t, "time", time.Since(began), 2*time.Second)
	})
}

// Requests of one producer that overtook each other on the way are put in order, and copies of
// one request that wait together get one answer (P7).
func TestGroupSortsAndMergesOneProducersRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		p := f.named("p")
		store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			<-time.After(time.Second)
			return do()
		}
		go func() { wantErr(t, "opening the first group", f.try("opens the first group"), nil) }()
		synctest.Wait()
		var clients sync.WaitGroup
		for seq := int64(4); seq >= 0; seq-- {
			for range 3 {
				clients.Go(func() {
					result, err := f.send(p, seq, strconv.FormatInt(seq, 10))
					if err != nil {
						t.Errorf("seq %d: %v", seq, err)
						return
					}
					offset, _ := result.Offset()
					want(t, "offset", offset, service.Offset(seq+1))
					want(t, "duplicate", result.Duplicate, false)
				})
			}
			synctest.Wait()
		}
		clients.Wait()
		got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(1))})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "stored", texts(got.Messages), []string{"0", "1", "2", "3", "4"})
	})
}

func TestFullQueueIsOverloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{Limits: service.Limits{QueueRequests: 2}}))
		store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			<-time.After(time.Second)
			return do()
		}
		var clients sync.WaitGroup
		var stored, refused atomic.Int64
		for range 10 {
			clients.Go(func() {
				_, err := f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("x")})
				switch {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, service.ErrOverloaded):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		clients.Wait()
		want(t, "stored and refused", fmt.Sprint(stored.Load(), refused.Load()), "2 8")
	})
}

func TestProducerThatGoesAwayDoesNotCancelTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			<-time.After(time.Second)
			return do()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := f.Produce(ctx, service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("x")})
		wantErr(t, "produce", err, service.ErrOutcomeUnknown)
		got, err := f.consumeAt(0, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "stored", texts(got.Messages), []string{"x"})
	})
}

// A hole in what is stored stops the one topic: better no answer than a wrong one.
func TestHoleStopsTheTopic(t *testing.T) {
	t.Parallel()
	store := newHooked()
	b := service.NewBroker(unclosed{store}, service.Config{})
	f := setup(t, b)
	f.produce("a", "b", "c")
	if err := b.Close(t.Context()); err != nil { // so that the next broker has no tail
		t.Fatal(err)
	}
	f.Broker = open(t, store, service.Config{})
	store.read = func(_ int, do func() ([]service.Message, error)) ([]service.Message, error) {
		messages, err := do()
		return append(messages[:1:1], messages[2:]...), err
	}
	read := service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))}
	_, err := f.Read(t.Context(), read)
	wantErr(t, "the read that found it", err, service.ErrInternal)
	store.read = nil
	_, err = f.Read(t.Context(), read)
	wantErr(t, "later reads", err, service.ErrInternal)
	_, err = f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("x")})
	wantErr(t, "produce", err, service.ErrInternal)
	wantErr(t, "readiness", f.Ready(t.Context()), service.ErrInternal)
	want(t, "violations", f.Violations(), 1)
	if _, err := f.CreateTopic(t.Context(), "other", service.TopicChange{}); err != nil {
		t.Errorf("other topics go on: %v", err)
	}
	if err := f.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "readiness without the topic", f.Ready(t.Context()), nil)
	want(t, "offset in a new one of its name", setup(t, f.Broker).produce("x"), 0)
}

// A topic that was stopped here is deleted and made anew through another broker.
func TestNewLifeOfAStoppedTopicGoesOn(t *testing.T) {
	t.Parallel()
	store := newHooked()
	a := setup(t, open(t, shared{store}, service.Config{}))
	b := setup(t, open(t, shared{store.Store}, service.Config{}))
	b.produce("a", "b", "c")
	store.read = func(_ int, do func() ([]service.Message, error)) ([]service.Message, error) {
		messages, err := do()
		return messages[1:], err
	}
	_, err := a.look(0)
	wantErr(t, "the read that found it", err, service.ErrInternal)
	store.read = nil
	if err := b.DeleteTopic(t.Context(), topicName); err != nil {
		t.Fatal(err)
	}
	b = setup(t, b.Broker)
	a.producer = b.producer
	want(t, "offset", a.produce("x"), 0)
	wantErr(t, "readiness", a.Ready(t.Context()), nil)
}

func TestTrimBetweenHeadAndReadIsNoHole(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, shared{store}, service.Config{}))
	f.produce("a", "b", "c")
	state, err := f.DescribeTopic(t.Context(), topicName)
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, shared{store}, service.Config{}) // has no tail
	store.read = func(_ int, do func() ([]service.Message, error)) ([]service.Message, error) {
		if _, err := store.Trim(t.Context(), state.ID, 2); err != nil {
			t.Error(err)
		}
		return do()
	}
	_, err = other.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
	wantErr(t, "read", err, service.ErrOffsetTrimmed)
	store.read = nil
	got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(2))})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "from the floor on", texts(got.Messages), []string{"c"})
	_, err = f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer})
	wantErr(t, "plain consume below the floor", err, service.ErrOffsetTrimmed)
}
