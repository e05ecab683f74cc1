package postgres

import (
	"testing"

	"github.com/topiq/topiq/service"
)

func request(topic service.TopicID, producer service.ProducerID) []service.AppendRequest {
	return []service.AppendRequest{{Topic: topic, Producer: producer, Seq: service.NoSeq}}
}

// appended is what an append has read of a topic with one producer, and what it has made of that.
func appended(topic service.TopicID, producer service.ProducerID, next service.Offset) (*service.AppendState, *service.AppendPlan) {
	state := emptyState()
	state.Heads[topic] = service.Head{ID: topic, Next: next}
	state.Producers[producer] = &service.Producer{ID: producer, Topic: topic}
	return &state, &service.AppendPlan{Topics: []service.TopicAppend{{Head: service.Head{ID: topic, Next: next + 1}}}}
}

// TestKnownRowsOfASharedTopic: the more often another broker has appended, the longer nothing is decided on what this one
// has left behind.
func TestKnownRowsOfASharedTopic(t *testing.T) {
	t.Parallel()
	k := newKnownRows()
	next := service.Offset(0)
	appendOne := func() {
		k.learn(appended(1, 1, next))
		next++
	}
	groupsUntilKnown := func() (n int) {
		for {
			if _, ok := k.state(request(1, 1)); ok {
				return n
			}
			appendOne()
			n++
		}
	}
	if n := groupsUntilKnown(); n != 1 {
		t.Fatalf("a topic is known after %d appends, want 1", n)
	}
	for round, want := range []int{2, 4, 8, 16, 32, 64, 64} {
		next++ // the other one's
		k.doubt(map[service.TopicID]service.Head{1: {}})
		if n := groupsUntilKnown(); n != want {
			t.Errorf("round %d: it is known again after %d groups, want %d", round, n, want)
		}
	}
	k.doubt(map[service.TopicID]service.Head{1: {}}) // for another reason: nobody else has appended
	if n := groupsUntilKnown(); n != 1 {
		t.Errorf("where nobody else appends it is known again after %d groups, want 1", n)
	}
}

func TestKnownRowsAreBounded(t *testing.T) {
	t.Parallel()
	k := newKnownRows()
	for id := range service.TopicID(3 * knownTopics) {
		k.learn(appended(id, service.ProducerID(id), 0))
		if len(k.topics) > knownTopics || k.producers > knownProducers {
			t.Fatalf("%d topics and %d producers are remembered", len(k.topics), k.producers)
		}
	}
	last := service.TopicID(3*knownTopics - 1)
	if _, ok := k.state(request(last, service.ProducerID(last))); !ok {
		t.Error("the last one is not known")
	}
	k = newKnownRows()
	for id := range service.ProducerID(3 * knownProducers) {
		k.learn(appended(1, id, 0))
	}
	if n := len(k.topics[1].producers); n > knownProducers || n != k.producers {
		t.Errorf("%d producers are counted, and %d remembered", k.producers, n)
	}
}
