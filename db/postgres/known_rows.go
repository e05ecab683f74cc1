package postgres

import (
	"sync"

	"github.com/topiq/topiq/service"
)

const (
	// knownTopics and knownProducers bound what is remembered, but for one group more: with so many all is forgotten. A
	// producer takes about 300 bytes.
	knownTopics    = 10_000
	knownProducers = 20_000
	// knownPause is for how many groups at most a row is locked before anything is decided, after another broker
	// has changed it: one group at first, and about twice as many after each further surprise.
	knownPause = 63
)

// caution says whether to go on from what is known of a row. The zero caution does. Where somebody else writes too there
// is no use in it: it fails, and all is to be done once more.
type caution struct {
	// doubted says that the row was found to be another. The next one who locks it finds out.
	doubted bool
	// pause is for how many groups more nothing is decided on what is known, penalty what it was set to last.
	pause, penalty int
}

func (c *caution) trusts() bool { return !c.doubted && c.pause == 0 }

// found takes in that the row was locked and read, and whether it was another than was known.
func (c *caution) found(another bool) {
	switch {
	case !c.doubted:
		c.pause = max(c.pause-1, 0)
	case another:
		c.penalty = min(2*c.penalty+1, knownPause)
		c.pause = c.penalty
	default:
		c.penalty = 0
	}
	c.doubted = false
}

// knownRows is what this store's appends have left behind: the heads of topics and their producers. It may be wrong at any
// time, for other brokers write too, and so does whoever registers, trims or sets a quota. Whoever decides on it holds
// the rows to it when writing (writeKnown).
type knownRows struct {
	mu        sync.Mutex
	topics    map[service.TopicID]*knownTopic
	producers int // of all topics
}

type knownTopic struct {
	head      service.Head
	producers map[service.ProducerID]service.Producer
	names     map[string]service.ProducerID
	caution
}

func newKnownRows() *knownRows { return &knownRows{topics: map[service.TopicID]*knownTopic{}} }

// state is what a group can be decided on without reading anything; false if something of it is not known.
func (k *knownRows) state(requests []service.AppendRequest) (service.AppendState, bool) {
	state := emptyState()
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range requests {
		r := &requests[i]
		t := k.topics[r.Topic]
		if t == nil || !t.trusts() || r.Again {
			return state, false
		}
		row, ok := t.producers[r.Producer]
		if !ok {
			return state, false
		}
		state.Heads[r.Topic] = t.head
		state.Producers[r.Producer] = &row
		name := r.ProducerName(&row)
		if name == "" {
			continue
		}
		named := &row
		if row.Name != name {
			other, ok := t.producers[t.names[name]]
			if !ok {
				return state, false
			}
			named = &other
		}
		state.Named[service.NamedProducer{Topic: r.Topic, Name: name}] = named
	}
	return state, true
}

// doubt notes that some row of these topics is another than was known.
func (k *knownRows) doubt(topics map[service.TopicID]service.Head) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range topics {
		if t := k.topics[id]; t != nil {
			t.doubted = true
		}
	}
}

// learn takes in what an append has read, or has known, and what it has made of that.
func (k *knownRows) learn(state *service.AppendState, plan *service.AppendPlan) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.topics) >= knownTopics || k.producers >= knownProducers {
		clear(k.topics)
		k.producers = 0
	}
	for id := range state.Heads {
		t := k.topic(id)
		t.found(t.head.Next != state.Heads[id].Next)
		t.head = state.Heads[id]
	}
	for i := range plan.Topics {
		k.topic(plan.Topics[i].Head.ID).head = plan.Topics[i].Head
	}
	for _, row := range state.Producers {
		k.keep(row)
	}
	for _, row := range state.Named {
		k.keep(row)
	}
	for i := range plan.Producers {
		if p := &plan.Producers[i]; p.Exists {
			row := *state.Named[p.NamedProducer]
			row.NextSeq, row.LastOffset, row.Count = p.NextSeq, p.LastOffset, row.Count+p.AddCount
			k.keep(&row)
		}
	}
}

// topic returns the entry of a topic, made if it is not there yet.
func (k *knownRows) topic(id service.TopicID) *knownTopic {
	t := k.topics[id]
	if t == nil {
		t = &knownTopic{producers: map[service.ProducerID]service.Producer{}, names: map[string]service.ProducerID{}}
		k.topics[id] = t
	}
	return t
}

func (k *knownRows) keep(row *service.Producer) {
	t := k.topics[row.Topic]
	if t == nil {
		return // of a topic that is none of the group's
	}
	if _, ok := t.producers[row.ID]; !ok {
		k.producers++
	}
	t.producers[row.ID] = *row
	if row.Name != "" {
		t.names[row.Name] = row.ID
	}
}
