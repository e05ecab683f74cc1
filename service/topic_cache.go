package service

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// topicCache holds the topics this broker knows. Every name maps to its newest known life.
type topicCache struct {
	limit     int
	tailLimit int64
	tailBytes atomic.Int64 // held by all tails; approximate while topics end

	mu     sync.RWMutex
	byName map[TopicName]*topic
	// removals counts entries taken out. A read of heads that began before a removal must not put
	// its entry back: the head it saw may be older than one that was published and then removed,
	// and where this broker is the truth nobody would ever correct it.
	removals int64
}

func newTopicCache(limit int, tailLimit int64) *topicCache {
	return &topicCache{limit: limit, tailLimit: tailLimit, byName: map[TopicName]*topic{}}
}

// use returns a topic, nil if it is not known. The caller calls its release when done: until then
// the topic stays.
func (c *topicCache) use(name TopicName) *topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t := c.byName[name]
	if t != nil {
		t.used.Add(1)
	}
	return t
}

// known reports whether a topic is in the cache.
func (c *topicCache) known(name TopicName) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName[name] != nil
}

func (t *topic) release() { t.used.Add(-1) }

// generation is to be taken before heads are read, and given to observe.
func (c *topicCache) generation() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.removals
}

// observe takes in a head read from the store by a read that began at `at`, in `generation`.
func (c *topicCache) observe(head Head, at time.Time, generation int64) {
	c.mu.Lock()
	t := c.byName[head.Name]
	switch {
	case t != nil && t.id == head.ID:
		c.mu.Unlock()
		t.observe(head, at)
		return
	case c.removals != generation:
	case t != nil:
		if _, confirmedAt, _ := t.snapshot(); at.Before(confirmedAt) {
			break
		}
		c.byName[head.Name] = newTopic(head, at)
		c.removals++
		defer t.end()
	default:
		c.byName[head.Name] = newTopic(head, at)
	}
	c.mu.Unlock()
}

// forget takes a life of a topic out: it was deleted. at is when the read began that missed it.
func (c *topicCache) forget(name TopicName, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removals++
	t := c.byName[name]
	if t == nil {
		return
	}
	if _, confirmedAt, _ := t.snapshot(); at.Before(confirmedAt) {
		return // created again, or committed to, after that read began
	}
	delete(c.byName, name)
	c.tailBytes.Add(-t.dropTail())
	t.end()
}

// published accounts for what a tail has grown by, and drops old tails when there are too many.
func (c *topicCache) published(growth int64) {
	if c.tailBytes.Add(growth) <= c.tailLimit {
		return
	}
	topics := c.all()
	slices.SortFunc(topics, func(a, b *topic) int { return cmp.Compare(a.lastUse(), b.lastUse()) })
	held := c.tailBytes.Load()
	for _, t := range topics {
		if held <= c.tailLimit/2 {
			break
		}
		held -= t.dropTail()
	}
	c.recount()
}

// evict makes room when too many topics are known: those nobody uses or waits on go, the longest
// unused first.
func (c *topicCache) evict() {
	c.recount()
	c.mu.Lock()
	defer c.mu.Unlock()
	surplus := len(c.byName) - c.limit
	if surplus <= 0 {
		return
	}
	idle := make([]*topic, 0, len(c.byName))
	for _, t := range c.byName {
		if t.used.Load() == 0 && t.waiting.Load() == 0 && t.faulty() == nil {
			idle = append(idle, t)
		}
	}
	slices.SortFunc(idle, func(a, b *topic) int { return cmp.Compare(a.lastUse(), b.lastUse()) })
	for _, t := range idle[:min(len(idle), surplus+c.limit/10)] {
		delete(c.byName, t.name)
	}
	c.removals++
}

func (c *topicCache) all() []*topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	topics := make([]*topic, 0, len(c.byName))
	for _, t := range c.byName {
		topics = append(topics, t)
	}
	return topics
}

// recount corrects the sum of all tails.
func (c *topicCache) recount() {
	var sum int64
	for _, t := range c.all() {
		sum += t.tailSize()
	}
	c.tailBytes.Store(sum)
}

// waitedOn lists the topics somebody waits on.
func (c *topicCache) waitedOn() []TopicName {
	var names []TopicName
	for _, t := range c.all() {
		if t.waiting.Load() > 0 {
			names = append(names, t.name)
		}
	}
	return names
}

// stopped returns why some topic is stopped, nil when none is.
func (c *topicCache) stopped() error {
	for _, t := range c.all() {
		if err := t.faulty(); err != nil {
			return err
		}
	}
	return nil
}

func (t *topic) lastUse() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.usedAt.UnixNano()
}

func (t *topic) tailSize() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tail.bytes
}
