// Package memory is the engine that keeps everything in the process and loses it with the process.
//
// Every topic has a write lock of its own, so writers of different topics never wait for each
// other. Log and head are published together as an immutable snapshot, so whoever reads messages,
// heads or names takes no lock and never waits for a writer. Positions of consumers have a second
// lock per topic: consuming and producing do not meet.
//
// Each start is another database, and an empty one (P13): a topic that is made again has another id
// and another incarnation. So no topic is ever foreign here; it is asked all the same, for the
// contract is one for all engines.
package memory

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/service"
)

// Config has the settings of a Store. The zero Config works.
type Config struct {
	// Random draws the number from which the ids of a bucket count. Ids are never reused, yet
	// nothing is known of the process before: only chance keeps its ids apart from ours. The
	// default is the runtime's generator.
	Random func() uint64
}

// idBase bounds where ids start: half of the 45 bits that an id leaves to its counter, so that
// the other half is there to count.
const idBase = 1 << 44

// Store is a service.Store in memory.
type Store struct {
	names     sync.Map // service.TopicName → *topic
	topics    sync.Map // service.TopicID → *topic
	consumers sync.Map // service.ConsumerID → *topic
	anonymous sync.Map // service.ProducerID → *topic, of producers without a name
	counters  [service.Buckets]atomic.Int64
	tokens    tokens
	making    sync.Mutex // held while something is made that is counted for a token
}

var _ service.Store = (*Store)(nil)

// New returns an empty store.
func New(config Config) *Store {
	if config.Random == nil {
		config.Random = rand.Uint64
	}
	s := &Store{}
	for i := range s.counters {
		s.counters[i].Store(int64(config.Random() % idBase))
	}
	return s
}

// Properties implements service.Store.
func (*Store) Properties() service.Properties {
	return service.Properties{Engine: "memory", Durability: service.DurabilityMemory, Lanes: service.Buckets}
}

// Watch implements service.Store: nobody else writes to the memory of this process.
func (*Store) Watch(context.Context, func(service.TopicName)) {}

// Ping implements service.Store.
func (*Store) Ping(context.Context) error { return nil }

// Close implements service.Store: the store is empty afterwards.
func (s *Store) Close() error {
	s.names.Clear()
	s.topics.Clear()
	s.consumers.Clear()
	s.anonymous.Clear()
	s.tokens.clear()
	return nil
}

func (s *Store) newID(bucket service.Bucket) int64 {
	return service.NewID(s.counters[bucket].Add(1), bucket)
}

// topic is one life of a topic.
type topic struct {
	id   service.TopicID
	name service.TopicName
	// view is what readers see. It is replaced under write and never modified.
	view atomic.Pointer[view]

	write     sync.Mutex
	producers map[service.ProducerID]*producer
	named     map[string]*producer
	retention service.Retention
	maker     string // the token that it is counted for, "" for none

	// seek guards the positions. Whoever needs both locks takes write first.
	seek      sync.Mutex
	consumers map[service.ConsumerID]service.Consumer
	consNames map[string]service.ConsumerID
	// consMakers are the tokens that consumers are counted for.
	consMakers map[service.ConsumerID]string

	// deleted is set under both locks and read under either: a caller may have found the topic
	// just before DeleteTopic took it away, and must not bring half of it back.
	deleted bool
}

// view is a head with its log, whose first message is the one at head.First.
type view struct {
	head service.Head
	log  log
}

func newTopic(id service.TopicID, t service.NewTopic) *topic {
	created := &topic{
		id: id, name: t.Name, retention: t.Retention, maker: t.Maker.TokenID,
		producers: map[service.ProducerID]*producer{}, named: map[string]*producer{},
		consumers: map[service.ConsumerID]service.Consumer{}, consNames: map[string]service.ConsumerID{},
		consMakers: map[service.ConsumerID]string{},
	}
	created.view.Store(&view{head: service.Head{
		ID: id, Name: t.Name, Incarnation: t.Incarnation, CreatedAt: stored(t.At), Quota: t.Quota,
	}})
	return created
}

func (t *topic) head() service.Head { return t.view.Load().head }

// find looks a topic up in one of the store's maps; nil when it is not there.
func find(in *sync.Map, key any) *topic {
	found, _ := in.Load(key)
	t, _ := found.(*topic)
	return t
}

// hold finds a topic and takes one of its locks. It answers nil when there is no such topic, and
// also when the topic was deleted between the look-up and the lock.
func hold(in *sync.Map, key any, which func(*topic) *sync.Mutex) (t *topic, unlock func()) {
	t = find(in, key)
	if t == nil {
		return nil, func() {}
	}
	which(t).Lock()
	if t.deleted {
		which(t).Unlock()
		return nil, func() {}
	}
	return t, which(t).Unlock
}

// lock takes one of the locks of several topics, in the order of their ids: two groups that share
// topics would wait for each other for ever if each locked them in an order of its own.
func lock(topics map[service.TopicID]*topic, which func(*topic) *sync.Mutex) (unlock func()) {
	if len(topics) == 1 {
		for _, t := range topics {
			which(t).Lock()
			return which(t).Unlock
		}
	}
	ids := slices.Sorted(maps.Keys(topics))
	for _, id := range ids {
		which(topics[id]).Lock()
	}
	return func() {
		for _, id := range ids {
			which(topics[id]).Unlock()
		}
	}
}

func writeLock(t *topic) *sync.Mutex { return &t.write }
func seekLock(t *topic) *sync.Mutex  { return &t.seek }

// page sorts rows by a key and returns at most limit of them.
func page[T any, K cmp.Ordered](rows []T, key func(T) K, limit int) []T {
	slices.SortFunc(rows, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return rows[:min(len(rows), limit)]
}

// stored is a time as every engine keeps it.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
