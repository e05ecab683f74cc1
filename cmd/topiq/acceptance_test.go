package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireclient"
	"github.com/topiq/topiq/service"
)

// engines are the URLs of an empty store of each kind.
func engines() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"memory":   func(*testing.T) string { return "memory:" },
		"sqlite":   func(t *testing.T) string { t.Helper(); return "sqlite:" + filepath.Join(t.TempDir(), "topiq.db") },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.URL(t) },
	}
}

// broker serves a store over HTTP until the test ends, and returns its address.
func broker(t *testing.T, storeURL string) string {
	t.Helper()
	store, err := db.Open(t.Context(), storeURL, db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := service.NewBroker(store, service.Config{})
	server := httptest.NewServer(api.NewHandler(b, api.Config{}))
	t.Cleanup(func() {
		server.Close()
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("closing the broker: %v", err)
		}
	})
	return server.URL
}

// wireTo is any generated client: what a user of another language has.
type wireTo struct {
	*wireclient.ClientWithResponses
	t *testing.T
}

func dial(t *testing.T, url string) wireTo {
	t.Helper()
	c, err := wireclient.NewClientWithResponses(url)
	if err != nil {
		t.Fatal(err)
	}
	return wireTo{c, t}
}

func (w wireTo) producer(topic, name, instance string) (*wire.RegisterProducerResult, wire.FailureCode) {
	w.t.Helper()
	r := wire.RegisterProducerRequest{Topic: topic}
	if name != "" {
		r.ProdName = &name
	}
	if instance != "" {
		r.Instance = &instance
	}
	reply, err := w.RegisterProducerWithResponse(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply.JSON200, failureIn(w.t, reply.HTTPResponse, reply.Body)
}

func (w wireTo) consumer(topic string) int64 {
	w.t.Helper()
	reply, err := w.RegisterConsumerWithResponse(w.t.Context(), wire.RegisterConsumerRequest{Topic: topic})
	if err != nil || reply.JSON200 == nil {
		w.t.Fatalf("registering a consumer: %v, %s", err, reply.Body)
	}
	return reply.JSON200.ConsumerID
}

func (w wireTo) send(r wire.ProduceRequest) (*wire.ProduceResult, wire.FailureCode) {
	w.t.Helper()
	reply, err := w.ProduceWithResponse(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply.JSON200, failureIn(w.t, reply.HTTPResponse, reply.Body)
}

func (w wireTo) next(topic string, consumer int64) (*wire.ConsumeResult, wire.FailureCode) {
	w.t.Helper()
	reply, err := w.ConsumePostWithResponse(w.t.Context(), wire.ConsumeRequest{Topic: topic, ConsumerID: consumer})
	if err != nil {
		w.t.Fatal(err)
	}
	return reply.JSON200, failureIn(w.t, reply.HTTPResponse, reply.Body)
}

// failureIn returns the code of a refusal, "" for a success.
func failureIn(t *testing.T, r *http.Response, body []byte) wire.FailureCode {
	t.Helper()
	if r.StatusCode == http.StatusOK {
		return ""
	}
	var failure wire.Failure
	if err := json.Unmarshal(body, &failure); err != nil {
		t.Fatalf("%s: %v in %s", r.Status, err, body)
	}
	return failure.Code
}

func onEachEngine(t *testing.T, test func(w wireTo)) {
	t.Helper()
	for name, url := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(dial(t, broker(t, url(t))))
		})
	}
}

func TestEightClientsRaceOnOneConsumer(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(w wireTo) {
		t := w.t
		total := 10_000
		if apitest.RaceDetector {
			total = 1000 // which takes as long
		}
		p, _ := w.producer("race", "", "")
		batch := make([]wire.ProduceMessage, total/4)
		for sent := 0; sent < total; sent += len(batch) {
			for i := range batch {
				text := strconv.Itoa(sent + i)
				batch[i] = wire.ProduceMessage{Message: &text}
			}
			if _, code := w.send(wire.ProduceRequest{Topic: "race", ProducerID: p.ProducerID, Messages: batch}); code != "" {
				t.Fatal(code)
			}
		}
		id := w.consumer("race")
		got := make([][]string, 8)
		var clients sync.WaitGroup
		for i := range got {
			clients.Go(func() {
				for {
					result, code := w.next("race", id)
					if code == wire.FailureCodeNoMessage {
						return
					}
					if code != "" {
						t.Errorf("consume: %s", code)
						return
					}
					got[i] = append(got[i], *result.Message)
				}
			})
		}
		clients.Wait()
		seen := map[string]int{}
		for _, messages := range got {
			for _, text := range messages {
				seen[text]++
			}
		}
		for i := range total {
			if n := seen[strconv.Itoa(i)]; n != 1 {
				t.Errorf("message %d was dequeued %d times", i, n)
			}
		}
	})
}

func TestSixClientsRaceToProduceOneSeq(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(w wireTo) {
		t := w.t
		name := "racer"
		p, _ := w.producer("race", name, "")
		for seq := range int64(50) {
			text := strconv.FormatInt(seq, 10)
			offsets := make([]int64, 6)
			var clients sync.WaitGroup
			for i := range offsets {
				clients.Go(func() {
					result, code := w.send(wire.ProduceRequest{
						Topic: "race", ProducerID: p.ProducerID, ProdName: &name, Epoch: p.Epoch, Seq: &seq, Message: &text,
					})
					if code != "" {
						t.Errorf("seq %d: %s", seq, code)
						return
					}
					offsets[i] = *result.Offset
				})
			}
			clients.Wait()
			for _, offset := range offsets {
				if offset != seq {
					t.Fatalf("seq %d is at %v, want all at %d", seq, offsets, seq)
				}
			}
		}
		described, err := w.DescribeTopicWithResponse(t.Context(), "race")
		if err != nil || described.JSON200 == nil || described.JSON200.NextOffset != 50 {
			t.Errorf("the topic: %s, %v; want 50 messages", described.Body, err)
		}
	})
}

func TestEmptyConsumeMovesNothing(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(w wireTo) {
		t := w.t
		p, _ := w.producer("empty", "", "")
		id := w.consumer("empty")
		for range 3 {
			if _, code := w.next("empty", id); code != wire.FailureCodeNoMessage {
				t.Fatalf("an empty topic answers %q", code)
			}
		}
		text := "first"
		if _, code := w.send(wire.ProduceRequest{Topic: "empty", ProducerID: p.ProducerID, Message: &text}); code != "" {
			t.Fatal(code)
		}
		result, code := w.next("empty", id)
		if code != "" || *result.Message != text || result.Offset != 1 {
			t.Errorf("got %v, %q", result, code)
		}
	})
}

func TestLaterSessionFencesTheFirst(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(w wireTo) {
		t := w.t
		first, _ := w.producer("fence", "p", "instance of the first")
		second, _ := w.producer("fence", "p", "instance of the second")
		if *second.Epoch != *first.Epoch+1 || second.ProducerID != first.ProducerID {
			t.Fatalf("sessions %v and %v", first, second)
		}
		send := func(epoch *int64, seq int64) wire.FailureCode {
			text := strconv.FormatInt(seq, 10)
			_, code := w.send(wire.ProduceRequest{
				Topic: "fence", ProducerID: first.ProducerID, Epoch: epoch, Seq: &seq, Message: &text,
			})
			return code
		}
		if code := send(first.Epoch, 0); code != wire.FailureCodeProducerFenced {
			t.Errorf("the first session's produce: %q", code)
		}
		if _, code := w.producer("fence", "p", "instance of the first"); code != wire.FailureCodeProducerFenced {
			t.Errorf("a late copy of the first register: %q", code)
		}
		if code := send(second.Epoch, 0); code != "" {
			t.Errorf("the living session's produce: %q", code)
		}
		again, code := w.producer("fence", "p", "instance of the second")
		if code != "" || *again.Epoch != *second.Epoch || *again.NextSeq != 1 || *again.LastOffset != 0 {
			t.Errorf("the second register, repeated: %v, %q", again, code)
		}
	})
}
