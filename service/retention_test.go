package service_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// hands is a clock that stands until it is moved.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func newHands() *hands { return &hands{at: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)} }

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// rounds is a config whose rounds are made by the test alone.
func rounds(h *hands) service.Config {
	return service.Config{Now: h.now, RetentionInterval: time.Hour, ForgetUnusedAfter: time.Hour}
}

func (f *fixture) keep(change service.RetentionChange) service.TopicState {
	f.t.Helper()
	state, err := f.UpdateTopic(f.t.Context(), topicName, service.TopicChange{Retention: &change})
	if err != nil {
		f.t.Fatal(err)
	}
	return state
}

// first does a round and returns the first offset after it.
func (f *fixture) first() service.Offset {
	f.t.Helper()
	f.RetainAll(f.t.Context())
	state, err := f.DescribeTopic(f.t.Context(), topicName)
	if err != nil {
		f.t.Fatal(err)
	}
	return state.First
}

func TestRetentionByAge(t *testing.T) {
	t.Parallel()
	clock := newHands()
	f := setup(t, open(t, memory.New(memory.Config{}), rounds(clock)))
	for i := range 10 { // a message each ten seconds
		f.produce(strconv.Itoa(i))
		clock.move(10 * time.Second)
	}
	want(t, "nothing was said", f.first(), 0)
	f.keep(service.RetentionChange{MaxAge: new(75 * time.Second)})
	want(t, "older than 75 s", f.first(), 3)
	clock.move(-time.Hour)
	want(t, "the clock goes back", f.first(), 3)
	clock.move(time.Hour + 5*time.Second)
	want(t, "as old as that is not older", f.first(), 3)
	clock.move(time.Hour)
	want(t, "all are older", f.first(), 10)
	want(t, "goes on", f.produce("new"), 10)
	want(t, "the new one is young", f.first(), 10)
}

func TestRetentionByCountAndBytes(t *testing.T) {
	t.Parallel()
	clock := newHands()
	f := setup(t, open(t, memory.New(memory.Config{}), rounds(clock)))
	for range 10 {
		f.produce(strings.Repeat("x", 10))
	}
	f.keep(service.RetentionChange{MaxMessages: new(int64(8))})
	want(t, "8 messages", f.first(), 2)
	f.keep(service.RetentionChange{MaxMessages: new(int64(0)), MaxBytes: new(int64(59))})
	want(t, "59 bytes", f.first(), 5)
	f.keep(service.RetentionChange{MaxBytes: new(int64(50))})
	want(t, "50 bytes", f.first(), 5)
	state := f.keep(service.RetentionChange{MaxBytes: new(int64(1)), MaxMessages: new(int64(100))})
	want(t, "bytes counted", state.Bytes, 50)
	want(t, "one of two limits is enough", f.first(), 10)
	state = f.keep(service.RetentionChange{KeepFor: new([]string{"c"})})
	want(t, "bytes when all have gone", state.Bytes, 0)
	want(t, "retention", state.Retention, service.Retention{MaxBytes: 1, MaxMessages: 100, KeepFor: []string{"c"}})
}

func TestRetentionWaitsForConsumers(t *testing.T) {
	t.Parallel()
	clock := newHands()
	f := setup(t, open(t, memory.New(memory.Config{}), rounds(clock)))
	for range 10 {
		f.produce("x")
	}
	f.keep(service.RetentionChange{MaxMessages: new(int64(1)), KeepFor: new([]string{"billing"})})
	want(t, "nobody has that name", f.first(), 0)
	c, _, err := f.RegisterConsumer(t.Context(), topicName, "billing", service.FromBeginning)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "it has read nothing", f.first(), 0)
	if _, err := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: c.ID, Limit: new(4)}); err != nil {
		t.Fatal(err)
	}
	want(t, "it has read four", f.first(), 4)
	f.keep(service.RetentionChange{KeepFor: new([]string{})})
	want(t, "nobody is waited for", f.first(), 9)
}

// TestRetentionIsSeenAtOnce: nothing below a floor that was moved here is answered from memory, by any of the
// ways to read.
func TestRetentionIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	clock := newHands()
	f := setup(t, open(t, memory.New(memory.Config{}), rounds(clock)))
	for range 10 {
		f.produce("x")
	}
	// Known, and within the second in which memory is trusted.
	if _, err := f.consumeAt(0, 0); err != nil {
		t.Fatal(err)
	}
	f.keep(service.RetentionChange{MaxMessages: new(int64(4))})
	want(t, "first", f.first(), 6)
	_, err := f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Offset: new(service.Offset(0)), Limit: new(1)})
	wantErr(t, "consume with offset", err, service.ErrOffsetTrimmed)
	_, err = f.Consume(t.Context(), service.ConsumeRequest{Topic: topicName, Consumer: f.consumer})
	wantErr(t, "plain consume", err, service.ErrOffsetTrimmed)
	var refusal *service.Error
	if !errors.As(err, &refusal) || refusal.Facts.FirstOffset == nil || *refusal.Facts.FirstOffset != 6 {
		t.Errorf("the refusal has the facts %+v", refusal)
	}
	_, err = f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(5))})
	wantErr(t, "read", err, service.ErrOffsetTrimmed)
	size, err := f.Size(t.Context(), topicName, f.consumer)
	if err != nil || size != 4 {
		t.Errorf("size is %d, %v; want 4", size, err)
	}
	c, _, err := f.RegisterConsumer(t.Context(), topicName, "", service.FromBeginning)
	if err != nil || c.Offset != 6 {
		t.Errorf("beginning is %d, %v; want 6", c.Offset, err)
	}
	row, err := f.SetOffset(t.Context(), service.SetOffsetRequest{Consumer: f.consumer, Offset: new(service.Offset(-1))})
	if err != nil || row.Offset != 6 {
		t.Errorf("-1 is %d, %v; want 6", row.Offset, err)
	}
	if err := f.Ready(t.Context()); err != nil {
		t.Errorf("a topic is stopped: %v", err)
	}
}

// TestReadersOfWhatIsTrimmed: with readers at every position and two brokers that trim, each read answers messages
// without a gap or offset_trimmed; no topic is stopped, and nothing young is lost.
func TestReadersOfWhatIsTrimmed(t *testing.T) {
	t.Parallel()
	clock := newHands()
	store := shared{memory.New(memory.Config{})}
	f := setup(t, open(t, store, rounds(clock)))
	other := open(t, store, rounds(clock))
	f.keep(service.RetentionChange{MaxMessages: new(int64(20))})
	var done atomic.Bool
	var all sync.WaitGroup
	for _, b := range []*service.Broker{f.Broker, other} {
		all.Go(func() {
			for !done.Load() {
				b.RetainAll(t.Context())
			}
		})
		all.Go(func() {
			for from := service.Offset(0); !done.Load(); {
				result, err := b.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: &from, Limit: new(3)})
				var refusal *service.Error
				switch {
				case err == nil:
					if len(result.Messages) > 0 && result.Messages[0].Offset != from {
						t.Errorf("a read from %d begins at %d", from, result.Messages[0].Offset)
					}
					from = result.Next
				case errors.As(err, &refusal) && refusal.Code == service.CodeOffsetTrimmed && service.Offset(*refusal.Facts.FirstOffset) > from:
					from = max(0, service.Offset(*refusal.Facts.FirstOffset)-1) // just below, where it is narrow
				default:
					t.Errorf("a read from %d: %v", from, err)
					return
				}
			}
		})
	}
	for i := range 3000 {
		if offset := f.produce("x"); offset != service.Offset(i) {
			t.Errorf("message %d is at %d", i, offset)
		}
	}
	done.Store(true)
	all.Wait()
	want(t, "first offset at the end", f.first(), 2980)
	for _, b := range []*service.Broker{f.Broker, other} {
		if err := b.Ready(t.Context()); err != nil {
			t.Errorf("a topic is stopped: %v", err)
		}
		_, err := b.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(2979))})
		wantErr(t, "a read below the floor", err, service.ErrOffsetTrimmed)
	}
}

// TestRetentionGoesOnAfterAFailure: a trim whose outcome nobody knows is done again, and does no harm.
func TestRetentionGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	clock := newHands()
	var fails atomic.Int64
	fails.Store(2)
	store := &dbtest.Faulty{Store: memory.New(memory.Config{}), After: func(method string) error {
		if method == "Trim" && fails.Add(-1) >= 0 {
			return service.ErrOutcomeUnknown
		}
		return nil
	}}
	f := setup(t, open(t, store, rounds(clock)))
	for range 9 {
		f.produce("x")
	}
	f.keep(service.RetentionChange{MaxMessages: new(int64(5))})
	want(t, "after a trim that nobody knows of", f.first(), 4)
	f.produce("x")
	want(t, "once more", f.first(), 5)
	f.produce("x")
	want(t, "and goes on", f.first(), 6)
	_, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(5))})
	wantErr(t, "read", err, service.ErrOffsetTrimmed)
}

func TestRetentionChangesAreChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for field, change := range map[string]service.RetentionChange{
		"retention":       {},
		"max_age_seconds": {MaxAge: new(service.MaxRetentionAge + time.Second)},
		"max_bytes":       {MaxBytes: new(int64(-1))},
		"max_messages":    {MaxMessages: new(int64(service.MaxInteger + 1))},
		"keep_for":        {KeepFor: new([]string{"fine", "not fine"})},
	} {
		for what, call := range map[string]func() error{
			"UpdateTopic": func() error {
				_, err := f.UpdateTopic(t.Context(), topicName, service.TopicChange{Retention: &change})
				return err
			},
			"CreateTopic": func() error {
				_, err := f.CreateTopic(t.Context(), "new", service.TopicChange{Retention: &change})
				return err
			},
		} {
			var refusal *service.Error
			if err := call(); !errors.As(err, &refusal) || refusal.Code != service.CodeInvalidRequest || refusal.Facts.Field != field {
				t.Errorf("%s with a wrong %s: %v", what, field, err)
			}
		}
	}
	_, err := f.UpdateTopic(t.Context(), topicName, service.TopicChange{
		Retention: &service.RetentionChange{KeepFor: new(make([]string, 101))},
	})
	wantErr(t, "101 names", err, service.ErrInvalidRequest)
	_, err = f.UpdateTopic(t.Context(), "missing", service.TopicChange{
		Retention: &service.RetentionChange{MaxBytes: new(int64(1))},
	})
	wantErr(t, "a missing topic", err, service.ErrTopicNotFound)
}

func TestUnusedAreForgotten(t *testing.T) {
	t.Parallel()
	clock := newHands()
	f := setup(t, open(t, memory.New(memory.Config{}), rounds(clock)))
	idle, _, err := f.RegisterProducer(t.Context(), topicName, "", "")
	if err != nil {
		t.Fatal(err)
	}
	gone, _, err := f.RegisterConsumer(t.Context(), topicName, "", service.FromBeginning)
	if err != nil {
		t.Fatal(err)
	}
	clock.move(45 * time.Minute)
	f.produce("x")
	// An empty answer is a use as well, though nothing moves.
	if _, err := f.consumeAt(1, 0); err != nil {
		t.Fatal(err)
	}
	f.FlushUsed(t.Context())
	clock.move(30 * time.Minute)
	f.ForgetUnused(t.Context())
	f.produce("y")
	if _, err := f.consumeAt(1, 0); err != nil {
		t.Errorf("a consumer in use: %v", err)
	}
	_, err = f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: idle.ID, Payloads: payloads("z")})
	wantErr(t, "a producer that was not used", err, service.ErrProducerNotFound)
	_, err = f.Size(t.Context(), topicName, gone.ID)
	wantErr(t, "a consumer that was not used", err, service.ErrConsumerNotFound)
	clock.move(24 * time.Hour)
	f.ForgetUnused(t.Context())
	_, err = f.Produce(t.Context(), service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads("z")})
	wantErr(t, "a day later", err, service.ErrProducerNotFound)
	want(t, "what was stored stays", f.first(), 0)
}
