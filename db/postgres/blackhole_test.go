package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// patience is how long a call may take that meets a black hole. It is far more than it needs, so that
// a busy machine is no failure, and less than what a lane used to stand still for.
const patience = 25 * time.Second

// brokerOn is a broker on a store of its own.
func brokerOn(t *testing.T, url string) *service.Broker {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		t.Fatal(err)
	}
	b := service.NewBroker(store, service.Config{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// writer is a named producer that uses a broker, or several in turns.
type writer struct {
	brokers []*service.Broker
	topic   service.TopicName
	row     service.Producer
	next    int64
	offsets []service.Offset // by seq, as acknowledged
	retries int
}

func newWriter(ctx context.Context, topic service.TopicName, name string, brokers ...*service.Broker) (*writer, error) {
	row, _, err := brokers[0].RegisterProducer(ctx, topic, name, "instance of "+name)
	return &writer{brokers: brokers, topic: topic, row: row}, err
}

// try sends the next message once.
func (w *writer) try(ctx context.Context) error {
	b := w.brokers[(int(w.next)+w.retries)%len(w.brokers)]
	result, err := b.Produce(ctx, service.ProduceRequest{
		Topic: w.topic, Producer: w.row.ID, Epoch: &w.row.Epoch, Seq: &w.next,
		Payloads: []service.Payload{{Bytes: fmt.Appendf(nil, "message %d", w.next)}},
	})
	if err != nil {
		return err
	}
	offset, _ := result.Offset()
	w.offsets = append(w.offsets, offset)
	w.next++
	return nil
}

// insist sends the next message until it is acknowledged, as clients do. Only what is no answer at
// all may be repeated.
func (w *writer) insist(ctx context.Context) error {
	for {
		err := w.try(ctx)
		if err == nil || ctx.Err() != nil ||
			(!errors.Is(err, service.ErrUnavailable) && !errors.Is(err, service.ErrOutcomeUnknown)) {
			return err
		}
		w.retries++
	}
}

// check requires that what was acknowledged is there, where it was said to be, once, and nothing else.
func (w *writer) check(t *testing.T, b *service.Broker) {
	t.Helper()
	seq := int64(0)
	for from := service.Offset(0); ; {
		got, err := b.Read(t.Context(), service.ReadRequest{Topic: w.topic, Offset: &from})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Messages {
			if m.Offset != from {
				t.Fatalf("%s: offset %d where %d belongs", w.topic, m.Offset, from)
			}
			from++
			if m.ProdName != w.row.Name {
				continue
			}
			if m.Seq != seq || seq >= w.next || w.offsets[seq] != m.Offset || string(m.Bytes) != fmt.Sprint("message ", seq) {
				t.Fatalf("%s: %q with seq %d at %d, want seq %d of %d", w.row.Name, m.Bytes, m.Seq, m.Offset, seq, w.next)
			}
			seq++
		}
		if len(got.Messages) == 0 {
			break
		}
	}
	if seq != w.next {
		t.Errorf("%s: %d messages are stored, %d were acknowledged", w.row.Name, seq, w.next)
	}
}

// TestBlackHoleIsGotAround: a connection passes nothing any more, and nobody tells. The broker asks
// again on another one and finds out; no client of it or of another broker hears of it, but for the time
// it takes.
func TestBlackHoleIsGotAround(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]int32{
		"the commit does not arrive": loseCommit,
		"the answer does not arrive": loseAnswer,
		"half of the writes arrive":  loseWrites,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t).URL()
			p, address := newProxy(t, server)
			holed, other := brokerOn(t, address), brokerOn(t, server)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			w, err := newWriter(ctx, "t", "w", holed)
			if err != nil {
				t.Fatal(err)
			}
			o, err := newWriter(ctx, "t", "o", other)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.try(ctx), o.try(ctx)); err != nil {
				t.Fatal(err)
			}
			p.cut.Store(cut)
			answer := make(chan error, 1)
			go func() { answer <- w.try(ctx) }()
			select {
			case <-p.holes:
			case <-ctx.Done():
				t.Fatal("there is no black hole")
			}
			if err := o.insist(ctx); err != nil { // the lock on the topic's head is not held for long
				t.Errorf("through another broker: %v", err)
			}
			if err := <-answer; err != nil {
				t.Errorf("into the black hole: %v", err)
			}
			if err := errors.Join(w.try(ctx), o.try(ctx)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if n := len(p.holes); n != 0 {
				t.Errorf("%d more black holes", n)
			}
			w.check(t, other)
			o.check(t, holed)
		})
	}
}

// TestRegisterIntoABlackHole: the session that nobody was told of is found, and no second one opened.
func TestRegisterIntoABlackHole(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t).URL()
	p, address := newProxy(t, server)
	b := brokerOn(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := newWriter(ctx, "t", "w", b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.try(ctx); err != nil {
		t.Fatal(err)
	}
	for epoch := int64(2); epoch < 4; epoch++ {
		p.cut.Store(loseAnswer)
		row, _, err := b.RegisterProducer(ctx, "t", "w", fmt.Sprint("instance ", epoch))
		if err != nil || row.Epoch != epoch || row.NextSeq != 1 {
			t.Errorf("register: %+v, %v; want epoch %d", row, err, epoch)
		}
	}
	if n := len(p.holes); n != 2 {
		t.Errorf("%d black holes", n)
	}
}
