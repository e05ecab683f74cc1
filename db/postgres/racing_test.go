package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// pair are two brokers' stores on one database, with a topic and a named producer on it.
type pair struct {
	url    string
	stores [2]*postgres.Store
	topic  service.Head
	named  service.Producer
}

func newPair(t *testing.T) *pair {
	t.Helper()
	return newPairOn(t, pgtest.URL(t))
}

func newPairOn(t *testing.T, url string) *pair {
	t.Helper()
	p := &pair{url: url, stores: [2]*postgres.Store{open(t, url), open(t, url)}}
	var err error
	p.named, p.topic, err = p.stores[0].RegisterProducer(t.Context(), registration("races", "p"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func registration(topic service.TopicName, name string) service.ProducerRegistration {
	return service.ProducerRegistration{
		Topic: service.NewTopic{Name: topic, Incarnation: "one", At: time.Now()}, Name: name, Instance: "i-" + name,
	}
}

// request produces one message of the named producer.
func (p *pair) request(seq int64) service.AppendRequest {
	return service.AppendRequest{
		Topic: p.topic.ID, Producer: p.named.ID, Epoch: &p.named.Epoch, Seq: seq,
		Payloads: []service.Payload{{Bytes: fmt.Appendf(nil, "message %d", seq), Headers: service.Headers{"k": "v"}}},
	}
}

// one appends one request and returns its answer.
func one(ctx context.Context, s service.Store, r service.AppendRequest) (service.AppendResult, error) {
	plan, err := s.Append(ctx, []service.AppendRequest{r}, time.Now())
	if err != nil {
		return service.AppendResult{}, err
	}
	if plan.Results[0].Err != nil {
		return service.AppendResult{}, plan.Results[0].Err
	}
	return plan.Results[0], nil
}

func TestRacersOnOneSeqStoreItOnce(t *testing.T) {
	t.Parallel()
	const seqs, racers = 100, 6
	p := newPair(t)
	offsets := [seqs]map[service.Offset]int{}
	for seq := range int64(seqs) {
		offsets[seq] = map[service.Offset]int{}
		var (
			all   sync.WaitGroup
			mu    sync.Mutex
			fresh int
		)
		ready := make(chan struct{})
		for racer := range racers {
			all.Go(func() {
				<-ready
				result, err := one(t.Context(), p.stores[racer%2], p.request(seq))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("seq %d: %v", seq, err)
					return
				}
				offsets[seq][result.Ranges[0].Offset]++
				if !result.Duplicate {
					fresh++
				}
			})
		}
		close(ready)
		all.Wait()
		if fresh != 1 || len(offsets[seq]) != 1 || offsets[seq][service.Offset(seq)] != racers {
			t.Fatalf("seq %d: stored %d times, at %v", seq, fresh, offsets[seq])
		}
	}
	messages, err := p.stores[1].Read(t.Context(), p.topic.ID, 0, 10*seqs, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != seqs {
		t.Fatalf("%d messages are stored, want %d", len(messages), seqs)
	}
	for i, m := range messages {
		if m.Offset != service.Offset(i) || m.Seq != int64(i) || m.ProdName != "p" {
			t.Fatalf("message %d is %+v", i, m)
		}
	}
}

// TestGroupsOverManyTopicsDoNotDeadlock: two brokers append to the same topics, named in opposite
// orders, while consumers move on them.
func TestGroupsOverManyTopicsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	const topics, rounds = 12, 60
	p := newPair(t)
	requests := make([]service.AppendRequest, topics)
	for i := range requests {
		producer, head, err := p.stores[0].RegisterProducer(t.Context(), registration(
			service.TopicName(fmt.Sprintf("many-%d", i)), ""))
		if err != nil {
			t.Fatal(err)
		}
		requests[i] = service.AppendRequest{
			Topic: head.ID, Producer: producer.ID, ProdName: "shared", Seq: service.NoSeq,
			Payloads: []service.Payload{{Bytes: []byte("x")}},
		}
	}
	var all sync.WaitGroup
	for s, store := range p.stores {
		all.Go(func() {
			for range rounds {
				group := make([]service.AppendRequest, topics)
				for i := range group {
					group[i] = requests[i]
					if s == 1 {
						group[i] = requests[topics-1-i]
					}
				}
				plan, err := store.Append(t.Context(), group, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				for i := range plan.Results {
					if plan.Results[i].Err != nil {
						t.Error(plan.Results[i].Err)
					}
				}
			}
		})
	}
	all.Wait()
	count, err := p.stores[0].CountProduced(t.Context(), "shared", "")
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2 * topics * rounds); count != want {
		t.Errorf("%d messages were counted under the name, want %d", count, want)
	}
	for i := range requests {
		messages, err := p.stores[1].Read(t.Context(), requests[i].Topic, 0, 10*rounds, 1<<30)
		if err != nil || len(messages) != 2*rounds {
			t.Errorf("topic %d has %d messages, want %d (%v)", i, len(messages), 2*rounds, err)
		}
	}
}

// TestRegistersOfOneNewName: brokers that register one name on a new topic at once get one producer,
// with a session each.
func TestRegistersOfOneNewName(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for round := range 20 {
		name := service.TopicName(fmt.Sprintf("new-%d", round))
		var (
			all    sync.WaitGroup
			mu     sync.Mutex
			ids    = map[service.ProducerID]bool{}
			epochs = map[int64]bool{}
		)
		for n, store := range []*postgres.Store{p.stores[0], p.stores[1], p.stores[0], p.stores[1]} {
			all.Go(func() {
				r := registration(name, "q")
				r.Instance = fmt.Sprintf("instance %d", n)
				row, _, err := store.RegisterProducer(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				ids[row.ID], epochs[row.Epoch] = true, true
			})
		}
		all.Wait()
		if len(ids) != 1 || len(epochs) != 4 || epochs[0] {
			t.Fatalf("round %d: ids %v, epochs %v", round, ids, epochs)
		}
	}
}
