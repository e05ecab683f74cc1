package postgres_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// BenchmarkAppend appends groups of messages of 256 bytes on one lane.
//
//	go test -run - -bench Append ./db/postgres
func BenchmarkAppend(b *testing.B) {
	store, err := postgres.Open(b.Context(), pgtest.URL(b), postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing to lose
	for _, size := range []struct{ topics, messages int }{{1, 1}, {1, 100}, {1, 1000}, {16, 1}, {64, 1}, {64, 10}} {
		var group []service.AppendRequest
		for n := range size.topics {
			name := service.TopicName(fmt.Sprintf("bench-%d-%d-%d", size.topics, size.messages, n))
			producer, head, err := store.RegisterProducer(b.Context(), registration(name, ""))
			if err != nil {
				b.Fatal(err)
			}
			payloads := make([]service.Payload, size.messages)
			for i := range payloads {
				payloads[i].Bytes = make([]byte, 256)
			}
			group = append(group, service.AppendRequest{
				Topic: head.ID, Producer: producer.ID, Seq: service.NoSeq, Payloads: payloads,
			})
		}
		b.Run(fmt.Sprintf("%dx%d", size.topics, size.messages), func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Append(b.Context(), group, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			messages := float64(b.N * size.topics * size.messages)
			b.ReportMetric(messages/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkAppendNamed appends groups of messages of 100 bytes to one topic, one of each of so many named
// producers: what a broker makes of as many connections.
//
//	go test -run - -bench AppendNamed ./db/postgres
func BenchmarkAppendNamed(b *testing.B) {
	store, err := postgres.Open(b.Context(), pgtest.URL(b), postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing to lose
	for _, producers := range []int{1, 8, 32, 64} {
		topic := service.TopicName(fmt.Sprintf("bench-%d", producers))
		group := make([]service.AppendRequest, producers)
		for i := range group {
			p, head, err := store.RegisterProducer(b.Context(), registration(topic, fmt.Sprintf("producer-%d", i)))
			if err != nil {
				b.Fatal(err)
			}
			group[i] = service.AppendRequest{
				Topic: head.ID, Producer: p.ID, Epoch: &p.Epoch, Payloads: []service.Payload{{Bytes: make([]byte, 100)}},
			}
		}
		b.Run(strconv.Itoa(producers), func(b *testing.B) {
			for b.Loop() {
				plan, err := store.Append(b.Context(), group, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				for i := range group {
					if refusal := plan.Results[i].Err; refusal != nil {
						b.Fatal(refusal)
					}
					group[i].Seq++
				}
			}
			b.ReportMetric(float64(b.N*producers)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkRead reads runs of 1,000 messages of 100 bytes.
//
//	go test -run - -bench Read ./db/postgres
func BenchmarkRead(b *testing.B) {
	const run, runs = 1000, 20
	store, err := postgres.Open(b.Context(), pgtest.URL(b), postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing to lose
	producer, head, err := store.RegisterProducer(b.Context(), registration("history", "p"))
	if err != nil {
		b.Fatal(err)
	}
	r := service.AppendRequest{Topic: head.ID, Producer: producer.ID, Epoch: &producer.Epoch, Payloads: make([]service.Payload, run)}
	for i := range r.Payloads {
		r.Payloads[i].Bytes = make([]byte, 100)
	}
	for range runs {
		if _, err := store.Append(b.Context(), []service.AppendRequest{r}, time.Now()); err != nil {
			b.Fatal(err)
		}
		r.Seq += run
	}
	for n := 0; b.Loop(); n++ {
		messages, err := store.Read(b.Context(), head.ID, service.Offset(n%runs*run), run, 1<<30)
		if err != nil || len(messages) != run {
			b.Fatal(len(messages), err)
		}
	}
	b.ReportMetric(float64(b.N*run)/b.Elapsed().Seconds(), "messages/s")
}
