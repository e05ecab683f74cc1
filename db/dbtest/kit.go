package dbtest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/topiq/topiq/service"
)

// kit is what one test works with: a store, and names that no other test uses.
type kit struct {
	*testing.T
	service.Store

	bench  *bench
	prefix string
}

// alone returns a kit whose store no other test uses.
func (k *kit) alone() *kit {
	k.Helper()
	own := *k
	own.Store = k.bench.open(k.T)
	return &own
}

// start is the time of day in the tests. It is finer than what a store keeps.
func start() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.FixedZone("", 3600)) }

func after(d time.Duration) time.Time { return start().Add(d) }

// kept is a time as a store gives it back.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (k *kit) name(suffix string) service.TopicName { return service.TopicName(k.prefix + suffix) }

func (k *kit) newTopic(suffix string) service.NewTopic {
	return service.NewTopic{Name: k.name(suffix), Incarnation: "inc-" + k.prefix + suffix, At: start()}
}

// topic creates a topic.
func (k *kit) topic(suffix string) service.Head {
	k.Helper()
	head, err := k.CreateTopic(k.Context(), k.newTopic(suffix))
	k.ok(err)
	return head
}

// head reads the head of a topic that exists.
func (k *kit) head(name service.TopicName) service.Head {
	k.Helper()
	heads, err := k.Heads(k.Context(), []service.TopicName{name})
	k.ok(err)
	if len(heads) != 1 {
		k.Fatalf("Heads(%q) answered %d heads, want 1", name, len(heads))
	}
	return heads[0]
}

// producer registers a producer on a topic: anonymous without a name, else a new session.
func (k *kit) producer(topic service.TopicName, name string) service.Producer {
	k.Helper()
	row, _, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: topic, Incarnation: "unused", At: start()}, Name: name,
	})
	k.ok(err)
	return row
}

// consumer registers a consumer on a topic.
func (k *kit) consumer(topic service.TopicName, name string, from service.Start) service.Consumer {
	k.Helper()
	row, _, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{
		Topic: topic, Name: name, From: from, At: start(),
	})
	k.ok(err)
	return row
}

// consumerNow reads a consumer that exists.
func (k *kit) consumerNow(id service.ConsumerID) service.Consumer {
	k.Helper()
	rows, err := k.Consumers(k.Context(), []service.ConsumerID{id})
	k.ok(err)
	if len(rows) != 1 {
		k.Fatalf("Consumers(%d) answered %d rows, want 1", id, len(rows))
	}
	return rows[0]
}

// append stores one group and returns its answers; an error of the whole group ends the test.
func (k *kit) append(requests ...service.AppendRequest) []service.AppendResult {
	k.Helper()
	return k.appendAt(start(), requests...)
}

func (k *kit) appendAt(now time.Time, requests ...service.AppendRequest) []service.AppendResult {
	k.Helper()
	plan, err := k.Append(k.Context(), requests, now)
	k.ok(err)
	if len(plan.Results) != len(requests) {
		k.Fatalf("Append answered %d results for %d requests", len(plan.Results), len(requests))
	}
	return plan.Results
}

// fill stores n messages "0", "1", … without seq.
func (k *kit) fill(topic service.Head, n int) {
	k.Helper()
	var texts []string
	for i := range n {
		texts = append(texts, strconv.Itoa(int(topic.Next)+i))
	}
	k.answers(k.append(send(k.producer(topic.Name, ""), texts...)), fmt.Sprintf("-@%d*%d", topic.Next, n))
}

// log reads a whole topic and checks what holds for every log: no hole, times that never
// decrease, a head that agrees.
func (k *kit) log(name service.TopicName) []service.Message {
	k.Helper()
	head := k.head(name)
	var all []service.Message
	var bytes int64
	for from := head.First; from < head.Next; {
		part, err := k.Read(k.Context(), head.ID, from, 1000, 1<<30)
		k.ok(err)
		if len(part) == 0 {
			k.Fatalf("offset %d of %q is missing: the head says %d to %d", from, name, head.First, head.Next)
		}
		for i := range part {
			m := &part[i]
			if m.Offset != from {
				k.Fatalf("%q: got offset %d where %d belongs", name, m.Offset, from)
			}
			if n := len(all); n > 0 && m.CreatedAt.Before(all[n-1].CreatedAt) {
				k.Errorf("%q: offset %d was stored before the one below it", name, m.Offset)
			}
			if m.CreatedAt.Location() != time.UTC || m.CreatedAt != kept(m.CreatedAt) {
				k.Errorf("%q: offset %d was stored at %v, which is not UTC in microseconds", name, m.Offset, m.CreatedAt)
			}
			all = append(all, *m)
			bytes += m.Size()
			from++
		}
	}
	equal(k, "Bytes of the head", head.Bytes, bytes)
	return all
}

// holds requires the messages of a topic, from its first offset on.
func (k *kit) holds(name service.TopicName, want ...string) {
	k.Helper()
	var got []string
	for _, m := range k.log(name) {
		got = append(got, string(m.Bytes))
	}
	equal(k, fmt.Sprintf("messages of %q", name), got, want)
}

// answers requires the answers of a group, in the form of describe.
func (k *kit) answers(got []service.AppendResult, want ...string) {
	k.Helper()
	var described []string
	for i := range got {
		described = append(described, describe(&got[i]))
	}
	equal(k, "answers", described, want)
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("got error %v", err)
	}
}

// refused requires an error in the form of refusal.
func (k *kit) refused(err error, want string) {
	k.Helper()
	equal(k, "refusal", refusal(err), want)
}

// equal requires equal values. No engine tells an empty slice or map from none.
func equal[T any](k *kit, what string, got, want T) {
	k.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		k.Fatalf("%s differ from what is wanted (−) in what was got (+):\n%s", what, diff)
	}
}

// sorted returns rows in the order of a key, for methods that answer in any order.
func sorted[T any, K ~int64](rows []T, key func(T) K) []T {
	slices.SortFunc(rows, func(a, b T) int { return int(key(a) - key(b)) })
	return rows
}
