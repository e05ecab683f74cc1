package main

import (
	"fmt"
	"sync"
	"testing"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/gen/wire"
)

// Two brokers on one database, each with a tail that ends at its own last message: what one has
// acknowledged is seen at once by whoever asks the other (P12).
func TestNoBrokerHidesWhatAnotherAcknowledged(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	brokers := []wireTo{dial(t, broker(t, url)), dial(t, broker(t, url))}
	const topic = "shared"
	p, _ := brokers[0].producer(topic, "", "")
	consumer := brokers[0].consumer(topic)
	var clients sync.WaitGroup
	for i, here := range brokers {
		there := brokers[1-i]
		clients.Go(func() {
			for n := range 200 {
				text := fmt.Sprintf("%d of %d", n, i)
				sent, code := here.send(wire.ProduceRequest{Topic: topic, ProducerID: p.ProducerID, Message: &text})
				if code != "" {
					t.Errorf("produce: %s", code)
					return
				}
				if !there.sees(topic, *sent.Offset, text, consumer) {
					t.Errorf("message %q at %d is hidden", text, *sent.Offset)
					return
				}
			}
		})
	}
	clients.Wait()
}

// sees asks for a message in each way that does not move the consumer.
func (w wireTo) sees(topic string, offset int64, text string, consumer int64) bool {
	w.t.Helper()
	read, err := w.ReadMessagesWithResponse(w.t.Context(), topic, &wire.ReadMessagesParams{Offset: &offset})
	if err != nil || read.JSON200 == nil || len(read.JSON200.Messages) == 0 || *read.JSON200.Messages[0].Message != text {
		w.t.Logf("read: %v, %s", err, read.Body)
		return false
	}
	end := *read.JSON200
	if end.EndOffset <= offset {
		w.t.Logf("end_offset is %d", end.EndOffset)
		return false
	}
	size, err := w.CountUnreadWithResponse(w.t.Context(), &wire.CountUnreadParams{Topic: topic, ConsumerID: consumer})
	if err != nil || size.JSON200 == nil || size.JSON200.Size <= offset {
		w.t.Logf("size: %v, %s", err, size.Body)
		return false
	}
	return true
}
