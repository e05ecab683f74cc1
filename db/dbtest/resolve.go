package dbtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/topiq/topiq/service"
)

// resolveTests let brokers work on a store that loses its answers (P9).
func resolveTests() []test {
	return []test{
		{"LostAnswersAreFoundOut", lostAnswers},
		{"LostSessionsAndSeeksAreRepeated", lostSessions},
	}
}

// lossy makes a store that loses many answers of the methods that a broker repeats. Some are lost
// after the work was done and some before; of either the broker is told only that nobody knows. Some
// calls fail for certain.
func lossy(store service.Store, seed uint64) *Faulty {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // to be repeated, not to be secret
	often := func(percent int) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(100) < percent
	}
	repeated := map[string]bool{"Append": true, "RegisterProducer": true, "Producer": true, "Seek": true}
	return &Faulty{
		Store: borrowed{store},
		Before: func(method string) error {
			switch {
			case repeated[method] && often(15):
				return service.ErrOutcomeUnknown
			case method == "Append" && often(5):
				return service.ErrUnavailable
			}
			return nil
		},
		After: func(method string) error {
			if repeated[method] && often(30) {
				return service.ErrOutcomeUnknown
			}
			return nil
		},
	}
}

// borrowed is a store that a broker may not close.
type borrowed struct{ service.Store }

func (borrowed) Close() error { return nil }

// lossyBrokers are as many as the store allows, each with losses of its own.
func (k *kit) lossyBrokers() []*service.Broker {
	n := 1
	if k.Store.Properties().Shared {
		n = 2
	}
	brokers := make([]*service.Broker, n)
	for i := range brokers {
		b := service.NewBroker(lossy(k.Store, uint64(i)+1), service.Config{})
		k.Cleanup(func() {
			if err := b.Close(context.Background()); err != nil {
				k.Errorf("Close: %v", err)
			}
		})
		brokers[i] = b
	}
	return brokers
}

// sender is a producer that repeats what certainly had no effect, and nothing else.
type sender struct {
	k       *kit
	brokers []*service.Broker
	topic   service.TopicName
	row     service.Producer
	offsets map[int64]service.Offset // by seq, as acknowledged
	unknown map[string]bool          // texts sent without seq of which nobody knows
}

func (s *sender) send(seq *int64, texts ...string) (service.ProduceResult, error) {
	r := service.ProduceRequest{Topic: s.topic, Producer: s.row.ID, Seq: seq}
	if seq != nil {
		r.Epoch = &s.row.Epoch
	}
	for _, text := range texts {
		r.Payloads = append(r.Payloads, service.Payload{Bytes: []byte(text)})
	}
	for i := 0; ; i++ {
		result, err := s.brokers[i%len(s.brokers)].Produce(s.k.Context(), r)
		if !errors.Is(err, service.ErrUnavailable) || errors.Is(err, service.ErrOutcomeUnknown) {
			return result, err
		}
	}
}

// run sends messages in requests of one to three under seqs, with one without seq after each.
func (s *sender) run(messages int64) {
	for seq := int64(0); seq < messages; {
		var texts []string
		for i := range 1 + seq%3 {
			texts = append(texts, strconv.FormatInt(seq+i, 10))
		}
		result, err := s.send(&seq, texts...)
		if err != nil {
			s.k.Errorf("%s: seq %d: %v", s.row.Name, seq, err)
			return
		}
		if result.Duplicate {
			s.k.Errorf("%s: seq %d was sent once and is called a duplicate", s.row.Name, seq)
		}
		for _, run := range result.Ranges {
			for i := range int64(run.Count) {
				s.offsets[run.Seq+i] = run.Offset + service.Offset(i)
			}
		}
		text := fmt.Sprint("after ", seq)
		switch _, err := s.send(nil, text); {
		case errors.Is(err, service.ErrOutcomeUnknown):
			s.unknown[text] = true
		case err != nil:
			s.k.Errorf("%s: without seq: %v", s.row.Name, err)
		}
		seq += int64(len(texts))
	}
}

// check compares what was acknowledged with what is stored.
func (s *sender) check(messages int64) {
	stored, seq := map[string]int{}, int64(0)
	for _, m := range s.k.log(s.topic) {
		if m.ProdName != s.row.Name {
			continue
		}
		if m.Seq == service.NoSeq {
			stored[string(m.Bytes)]++
			continue
		}
		if m.Seq != seq || string(m.Bytes) != strconv.FormatInt(seq, 10) || s.offsets[seq] != m.Offset {
			s.k.Fatalf("%s: %q with seq %d at %d, want seq %d, acknowledged at %d",
				s.row.Name, m.Bytes, m.Seq, m.Offset, seq, s.offsets[seq])
		}
		seq++
	}
	if seq < messages {
		s.k.Errorf("%s: %d messages are stored of %d", s.row.Name, seq, messages)
	}
	for at := int64(0); at < messages; at += 1 + at%3 {
		text := fmt.Sprint("after ", at)
		if n := stored[text]; n > 1 || (n == 0 && !s.unknown[text]) {
			s.k.Errorf("%s: %q is stored %d times", s.row.Name, text, n)
		}
	}
}

// lostAnswers: whatever is lost, a message with seq is acknowledged, stored once, where it was said
// to be. One without is never stored twice.
func lostAnswers(k *kit) {
	const topics, names, messages = 2, 3, 40
	k = k.alone()
	brokers := k.lossyBrokers()
	var senders []*sender
	for topic := range topics {
		head := k.topic(strconv.Itoa(topic))
		for i := range names {
			senders = append(senders, &sender{
				k: k, brokers: brokers, topic: head.Name, row: k.producer(head.Name, fmt.Sprint("p", i)),
				offsets: map[int64]service.Offset{}, unknown: map[string]bool{},
			})
		}
	}
	together(len(senders), func(i int) { senders[i].run(messages) })
	unknown := 0
	for _, s := range senders {
		s.check(messages)
		unknown += len(s.unknown)
	}
	if unknown == 0 {
		k.Error("no answer was lost")
	}
	for _, b := range brokers {
		if err := b.Ready(k.Context()); err != nil {
			k.Errorf("a topic is stopped: %v", err)
		}
	}
}

// lostSessions: each token opens one session, however often its register is repeated, and a seek
// happens.
func lostSessions(k *kit) {
	k = k.alone()
	b := k.lossyBrokers()[0]
	name := k.name("a")
	for epoch := range int64(20) {
		row, head, err := b.RegisterProducer(k.Context(), name, "p", fmt.Sprint("instance ", epoch))
		k.ok(err)
		equal(k, "epoch", row.Epoch, epoch+1)
		row, err = b.ProducerState(k.Context(), name, "p")
		k.ok(err)
		equal(k, "state", row.Epoch, epoch+1)
		equal(k, "topic", head.Name, name)
	}
	k.fill(k.head(name), 20)
	c := k.consumer(name, "c", service.FromBeginning)
	for to := range service.Offset(20) {
		row, err := b.SetOffset(k.Context(), service.SetOffsetRequest{Consumer: c.ID, Offset: &to})
		k.ok(err)
		equal(k, "position", row.Offset, to)
		equal(k, "stored position", k.consumerNow(c.ID).Offset, to)
	}
}
