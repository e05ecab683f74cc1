package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// movers is a topic with messages, and consumers of it.
type movers struct {
	*pair
	rows []service.Consumer
}

func newMovers(t *testing.T, messages, consumers int) *movers {
	t.Helper()
	m := &movers{pair: newPair(t)}
	r := m.request(0)
	r.Payloads = nil
	for i := range messages {
		r.Payloads = append(r.Payloads, service.Payload{Bytes: []byte(strconv.Itoa(i))})
	}
	if _, err := one(t.Context(), m.stores[0], r); err != nil {
		t.Fatal(err)
	}
	for range consumers {
		row, _, err := m.stores[0].RegisterConsumer(t.Context(), service.ConsumerRegistration{
			Topic: m.topic.Name, From: service.FromBeginning, At: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		m.rows = append(m.rows, row)
	}
	return m
}

// shorten takes the end of the log away.
func (m *movers) shorten(ctx context.Context, end service.Offset) error {
	conn, err := pgx.Connect(ctx, m.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // a test's connection
	if _, err := conn.Exec(ctx, "UPDATE heads SET next_offset = $1", int64(end)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `DELETE FROM messages WHERE "offset" >= $1`, int64(end))
	return err
}

// next asks for the next message of a consumer.
func (m *movers) next(row service.Consumer) []service.MoveRequest {
	return []service.MoveRequest{{
		Topic: row.Topic, Consumer: row.ID, Incarnation: m.topic.Incarnation, Limit: 1, MaxBytes: 1 << 20,
	}}
}

// move dequeues one message, and answers its offset, or −1 if there is none.
func (m *movers) move(ctx context.Context, store *postgres.Store, row service.Consumer) (service.Offset, error) {
	results, err := store.Move(ctx, m.next(row), nil, time.Now())
	switch {
	case err != nil:
		return 0, err
	case results[0].Err != nil:
		return 0, results[0].Err
	case len(results[0].Messages) == 0:
		return -1, nil
	}
	got := results[0].Messages[0]
	if string(got.Bytes) != strconv.Itoa(int(got.Offset)) || results[0].Consumer.Offset != got.Offset+1 {
		return 0, fmt.Errorf("at %d is %q, and the consumer is at %d then", got.Offset, got.Bytes, results[0].Consumer.Offset)
	}
	return got.Offset, nil
}

// TestMoveSeesWhatOthersDid: a store goes on from what its last move has left behind, unless anything has happened
// meanwhile. Each of these things is done by another one, between two moves of the same consumer, and the second gets the
// answer that a store would give which knows nothing.
func TestMoveSeesWhatOthersDid(t *testing.T) {
	t.Parallel()
	const before = 3 // moves; from the second on they go on from what is known
	tests := map[string]struct {
		happens func(ctx context.Context, m *movers) error
		offset  service.Offset
		want    error
	}{
		"nothing": {func(context.Context, *movers) error { return nil }, before, nil},
		"a move": {func(ctx context.Context, m *movers) error {
			_, err := m.move(ctx, m.stores[1], m.rows[0])
			return err
		}, before + 1, nil},
		"a seek": {func(ctx context.Context, m *movers) error {
			_, err := m.stores[1].Seek(ctx, service.SeekRequest{Consumer: m.rows[0].ID, Offset: 1}, time.Now())
			return err
		}, 1, nil},
		"a commit": {func(ctx context.Context, m *movers) error {
			return m.stores[1].CommitOffsets(ctx, []service.OffsetCommit{{Consumer: m.rows[0].ID, Offset: 5}}, time.Now())
		}, 5, nil},
		"a seek to the end": {func(ctx context.Context, m *movers) error {
			_, err := m.stores[1].Seek(ctx, service.SeekRequest{Consumer: m.rows[0].ID, Offset: 10}, time.Now())
			return err
		}, -1, nil},
		"a trim below": {func(ctx context.Context, m *movers) error {
			_, err := m.stores[1].Trim(ctx, m.topic.ID, before)
			return err
		}, before, nil},
		"a trim beyond": {func(ctx context.Context, m *movers) error {
			_, err := m.stores[1].Trim(ctx, m.topic.ID, before+1)
			return err
		}, 0, service.ErrOffsetTrimmed},
		"the consumer is removed": {func(ctx context.Context, m *movers) error {
			return m.stores[1].UnregisterConsumer(ctx, m.topic.Name, m.rows[0].ID)
		}, 0, service.ErrConsumerNotFound},
		"the topic is deleted": {func(ctx context.Context, m *movers) error {
			return m.stores[1].DeleteTopic(ctx, m.topic.Name, time.Now())
		}, 0, service.ErrTopicNotFound},
		"another incarnation": {func(ctx context.Context, m *movers) error {
			_, err := m.stores[1].NewIncarnation(ctx, m.topic.Name, "two")
			return err
		}, 0, service.ErrIncarnationChanged},
		"another database": {func(ctx context.Context, m *movers) error {
			return m.stores[1].Estrange(ctx, m.topic.Name)
		}, 0, service.ErrUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMovers(t, 10, 1)
			for n := range service.Offset(before) {
				if got, err := m.move(t.Context(), m.stores[0], m.rows[0]); err != nil || got != n {
					t.Fatal(got, err)
				}
			}
			if err := test.happens(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got, err := m.move(t.Context(), m.stores[0], m.rows[0])
			if !errors.Is(err, test.want) {
				t.Fatalf("move: %v, want %v", err, test.want)
			}
			if err == nil && got != test.offset {
				t.Errorf("it gets %d, want %d", got, test.offset)
			}
		})
	}
}

// TestKnownMovesOfAShorterLog: the consumer is still what was known, and only the head is not.
func TestKnownMovesOfAShorterLog(t *testing.T) {
	t.Parallel()
	m := newMovers(t, 10, 1)
	for range 3 {
		if _, err := m.move(t.Context(), m.stores[0], m.rows[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.shorten(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if got, err := m.move(t.Context(), m.stores[0], m.rows[0]); err != nil || got != -1 {
		t.Errorf("of a log that ends at 3 it gets %d, %v", got, err)
	}
}

// TestKnownMoveTellsTheHeadItRead: the head in an answer is the one of this move, not of the last one.
func TestKnownMoveTellsTheHeadItRead(t *testing.T) {
	t.Parallel()
	m := newMovers(t, 10, 1)
	for i := range 3 { // from the second on they go on from what is known
		if _, err := m.move(t.Context(), m.stores[0], m.rows[0]); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := one(t.Context(), m.stores[1], m.request(10)); err != nil {
		t.Fatal(err)
	}
	results, err := m.stores[0].Move(t.Context(), m.next(m.rows[0]), nil, time.Now())
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
	if next := results[0].Head.Next; next != 11 || results[0].Messages[0].Offset != 3 {
		t.Errorf("the log ends at %d, the message is at %d, want 11 and 3", next, results[0].Messages[0].Offset)
	}
}

// TestMoveOfManyTopics: one of the consumers of a group is not where it was, and none of the others moves twice.
func TestMoveOfManyTopics(t *testing.T) {
	t.Parallel()
	const topics = 5
	p := newPair(t)
	var group []service.MoveRequest
	for i := range topics {
		name := service.TopicName(fmt.Sprint("topic-", i))
		producer, head, err := p.stores[0].RegisterProducer(t.Context(), registration(name, ""))
		if err != nil {
			t.Fatal(err)
		}
		r := service.AppendRequest{
			Topic: head.ID, Producer: producer.ID, Seq: service.NoSeq, Payloads: make([]service.Payload, 20),
		}
		if _, err := one(t.Context(), p.stores[0], r); err != nil {
			t.Fatal(err)
		}
		row, _, err := p.stores[0].RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: name, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		request := service.MoveRequest{Topic: head.ID, Consumer: row.ID, Limit: 1, MaxBytes: 1 << 20}
		group = append(group, request, request) // each consumer twice
	}
	next := make([]service.Offset, topics)
	moves := func(store *postgres.Store, group []service.MoveRequest, first int) {
		t.Helper()
		results, err := store.Move(t.Context(), group, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := range results {
			topic := first + i/2
			if r := &results[i]; r.Err != nil || len(r.Messages) != 1 || r.Messages[0].Offset != next[topic] {
				t.Fatalf("topic %d: %+v, want message %d", topic, r, next[topic])
			}
			next[topic]++
		}
	}
	for range 3 {
		moves(p.stores[0], group, 0)
	}
	moves(p.stores[1], group[4:6], 2)
	for range 3 {
		moves(p.stores[0], group, 0)
	}
}

// TestMoversOfManyBrokers: two stores move the same consumers, several at a time and in different orders, and each message
// is given out once.
func TestMoversOfManyBrokers(t *testing.T) {
	t.Parallel()
	const consumers, messages = 6, 150
	m := newMovers(t, messages, consumers)
	var (
		mu    sync.Mutex
		times [consumers][messages]int
		both  sync.WaitGroup
	)
	for i, store := range m.stores {
		both.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for empty := 0; empty < 50; {
				order := random.Perm(consumers)[:1+random.IntN(consumers)]
				requests := make([]service.MoveRequest, len(order))
				for k, c := range order {
					requests[k] = service.MoveRequest{Topic: m.topic.ID, Consumer: m.rows[c].ID, Limit: 1, MaxBytes: 1 << 20}
				}
				results, err := store.Move(t.Context(), requests, nil, time.Now())
				if errors.Is(err, service.ErrUnavailable) { // each of two waited for the other: nothing has moved
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				empty++
				mu.Lock()
				for k := range results {
					for n := range results[k].Messages {
						times[order[k]][results[k].Messages[n].Offset]++
						empty = 0
					}
				}
				mu.Unlock()
			}
		})
	}
	both.Wait()
	for c := range times {
		for offset, n := range times[c] {
			if n != 1 {
				t.Errorf("consumer %d got message %d %d times", c, offset, n)
			}
		}
	}
}

// BenchmarkMove moves groups of consumers by one message each: what a broker makes of as many connections.
//
//	go test -run - -bench Move ./db/postgres
func BenchmarkMove(b *testing.B) {
	const messages = 200
	store, err := postgres.Open(b.Context(), pgtest.URL(b), postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing to lose
	producer, head, err := store.RegisterProducer(b.Context(), registration("moves", "p"))
	if err != nil {
		b.Fatal(err)
	}
	r := service.AppendRequest{Topic: head.ID, Producer: producer.ID, Epoch: &producer.Epoch, Payloads: make([]service.Payload, messages)}
	if _, err := store.Append(b.Context(), []service.AppendRequest{r}, time.Now()); err != nil {
		b.Fatal(err)
	}
	for _, consumers := range []int{1, 8, 64} {
		group := make([]service.MoveRequest, consumers)
		for i := range group {
			row, _, err := store.RegisterConsumer(b.Context(), service.ConsumerRegistration{Topic: head.Name, At: time.Now()})
			if err != nil {
				b.Fatal(err)
			}
			group[i] = service.MoveRequest{Topic: head.ID, Consumer: row.ID, Limit: 1, MaxBytes: 1 << 20}
		}
		b.Run(strconv.Itoa(consumers), func(b *testing.B) {
			for b.Loop() {
				results, err := store.Move(b.Context(), group, nil, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				for i := range results {
					if refusal := results[i].Err; refusal != nil {
						b.Fatal(refusal)
					}
				}
				if results[0].Consumer.Offset < messages {
					continue
				}
				b.StopTimer()
				for i := range group {
					if _, err := store.Seek(b.Context(), service.SeekRequest{Consumer: group[i].Consumer}, time.Now()); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N*consumers)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
