package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// TestAppendSeesWhatOthersDid: a store goes on from what its last append has left behind, unless anything has happened
// meanwhile. Each of these things is done by another one, between two appends of the same producer, and the second gets
// the answer that a store would give which knows nothing.
func TestAppendSeesWhatOthersDid(t *testing.T) {
	t.Parallel()
	const before = 3 // messages; from the second on they are appended to what is known
	tests := map[string]struct {
		happens func(ctx context.Context, p *pair) error
		offset  service.Offset
		want    error
	}{
		"nothing": {func(context.Context, *pair) error { return nil }, before, nil},
		"the same message": {func(ctx context.Context, p *pair) error {
			_, err := one(ctx, p.stores[1], p.request(before))
			return err
		}, before, nil}, // a duplicate
		"a message of another producer": {func(ctx context.Context, p *pair) error {
			other, _, err := p.stores[1].RegisterProducer(ctx, registration(p.topic.Name, ""))
			if err != nil {
				return err
			}
			r := service.AppendRequest{Topic: p.topic.ID, Producer: other.ID, Seq: service.NoSeq, Payloads: []service.Payload{{Bytes: []byte("x")}}}
			_, err = one(ctx, p.stores[1], r)
			return err
		}, before + 1, nil},
		"a new session": {func(ctx context.Context, p *pair) error {
			r := registration(p.topic.Name, "p")
			r.Instance = "another"
			_, _, err := p.stores[1].RegisterProducer(ctx, r)
			return err
		}, 0, service.ErrProducerFenced},
		"the end of the session": {func(ctx context.Context, p *pair) error {
			return p.stores[1].UnregisterProducer(ctx, p.topic.Name, p.named.ID)
		}, 0, service.ErrProducerFenced},
		"a trim": {func(ctx context.Context, p *pair) error {
			_, err := p.stores[1].Trim(ctx, p.topic.ID, 1)
			return err
		}, before, nil},
		"a quota that is full": {func(ctx context.Context, p *pair) error {
			full := int64(1)
			_, err := p.stores[1].SetQuota(ctx, p.topic.Name, service.QuotaChange{StoredBytes: &full})
			return err
		}, 0, service.ErrRateLimited},
		"the topic is deleted": {func(ctx context.Context, p *pair) error {
			return p.stores[1].DeleteTopic(ctx, p.topic.Name, time.Now())
		}, 0, service.ErrTopicNotFound},
		"another incarnation": {func(ctx context.Context, p *pair) error {
			_, err := p.stores[1].NewIncarnation(ctx, p.topic.Name, "two")
			return err
		}, 0, service.ErrIncarnationChanged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			for seq := range int64(before) {
				if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
					t.Fatal(err)
				}
			}
			if err := test.happens(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			r := p.request(before)
			r.Incarnation = p.topic.Incarnation
			result, err := one(t.Context(), p.stores[0], r)
			if !errors.Is(err, test.want) {
				t.Fatalf("append: %v, want %v", err, test.want)
			}
			if err == nil && result.Ranges[0].Offset != test.offset {
				t.Errorf("it is at %d, want %d", result.Ranges[0].Offset, test.offset)
			}
		})
	}
}

// TestAppendOfAProducerThatIsGone: an anonymous producer has no row that an append changes.
func TestAppendOfAProducerThatIsGone(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	anonymous, _, err := p.stores[0].RegisterProducer(t.Context(), registration(p.topic.Name, ""))
	if err != nil {
		t.Fatal(err)
	}
	r := service.AppendRequest{Topic: p.topic.ID, Producer: anonymous.ID, Seq: service.NoSeq, Payloads: []service.Payload{{Bytes: []byte("x")}}}
	for range 3 {
		if _, err := one(t.Context(), p.stores[0], r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stores[1].UnregisterProducer(t.Context(), p.topic.Name, anonymous.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := one(t.Context(), p.stores[0], r); !errors.Is(err, service.ErrProducerNotFound) {
		t.Errorf("append: %v, want producer_not_found", err)
	}
}

// TestBrokersInTurns: two stores append to the same topics in turns, one group or several at a time, and each message is
// stored once, in order, whichever of them knew what.
func TestBrokersInTurns(t *testing.T) {
	t.Parallel()
	const topics, rounds = 3, 120
	p := newPair(t)
	type writer struct {
		head service.Head
		row  service.Producer
		next int64
	}
	var writers []*writer
	for i := range topics {
		for n := range 2 {
			row, head, err := p.stores[0].RegisterProducer(t.Context(),
				registration(service.TopicName(fmt.Sprint("turns-", i)), fmt.Sprint("writer-", n)))
			if err != nil {
				t.Fatal(err)
			}
			writers = append(writers, &writer{head: head, row: row})
		}
	}
	for round := range rounds {
		store := p.stores[0]
		if round%7 == 6 || round > rounds/2 && round%3 == 0 {
			store = p.stores[1]
		}
		var group []service.AppendRequest
		var sent []*writer
		for i, w := range writers {
			if (round+i)%4 == 0 {
				continue
			}
			group = append(group, service.AppendRequest{
				Topic: w.head.ID, Producer: w.row.ID, Epoch: &w.row.Epoch, Seq: w.next,
				Payloads: []service.Payload{{Bytes: fmt.Append(nil, w.next)}},
			})
			sent = append(sent, w)
		}
		plan, err := store.Append(t.Context(), group, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range sent {
			if r := plan.Results[i]; r.Err != nil || r.Duplicate {
				t.Fatalf("round %d: %+v", round, r)
			}
			w.next++
		}
	}
	for i := 0; i < len(writers); i += 2 {
		stored := writers[i].next + writers[i+1].next
		messages, err := p.stores[1].Read(t.Context(), writers[i].head.ID, 0, int(stored)+1, 1<<30)
		if err != nil || int64(len(messages)) != stored {
			t.Fatalf("%d messages of %d are there (%v)", len(messages), stored, err)
		}
		next := map[string]int64{}
		for at, m := range messages {
			if m.Offset != service.Offset(at) || m.Seq != next[m.ProdName] {
				t.Fatalf("at %d is %+v", at, m)
			}
			next[m.ProdName]++
		}
	}
}
