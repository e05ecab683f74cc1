package service

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// topicCache holds the topics this broker knows, under the newest known life of each name.
type topicCache struct {
	limit     int
	tailLimit int64
	tailBytes atomic.Int64  // held by all tails; approximate while topics end
	renewed   func(TopicID) // called when a topic is found to have another incarnation

	mu     sync.RWMutex
	byName map[TopicName]*topic

	waitMu sync.Mutex
	waits  map[TopicName]int // long polls by topic
}

func newTopicCache(limit int, tailLimit int64, renewed func(TopicID)) *topicCache {
	return &topicCache{
		limit: limit, tailLimit: tailLimit, renewed: renewed,
		byName: map[TopicName]*topic{}, waits: map[TopicName]int{},
	}
}

// use returns a topic, nil if it is not known. The caller releases it when done: until then the
// topic stays.
func (c *topicCache) use(name TopicName) *topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mark(c.byName[name])
}

func (c *topicCache) mark(t *topic) *topic {
	if t != nil {
		t.used.Add(1)
		t.lastUse.Store(time.Now().UnixNano())
	}
	return t
}

// take takes in a head from a read that began at `at`, and returns its topic as use does. Where
// another life of the topic was confirmed after that, it returns that one.
func (c *topicCache) take(head Head, at time.Time) *topic {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.byName[head.Name]
	switch {
	case t == nil:
	case t.id == head.ID:
		t.observe(head, at)
		return c.mark(t)
	default:
		if _, confirmedAt, _ := t.known(); at.Before(confirmedAt) {
			return c.mark(t)
		}
		c.tailBytes.Add(-t.refresh())
	}
	t = newTopic(head, at, c.renewed)
	c.byName[head.Name] = t
	return c.mark(t)
}

// entries returns those of the topics that are known.
func (c *topicCache) entries(names []TopicName) map[TopicName]*topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := make(map[TopicName]*topic, len(names))
	for _, name := range names {
		if t := c.byName[name]; t != nil {
			found[name] = t
		}
	}
	return found
}

// knownHeads appends to seen the heads of those of the topics that are known, and returns which are not.
func (c *topicCache) knownHeads(names []TopicName, seen []Head) (known []Head, unknown []TopicName) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, name := range names {
		if t := c.byName[name]; t != nil {
			head, _, _ := t.known()
			seen = append(seen, head)
		} else {
			unknown = append(unknown, name)
		}
	}
	return seen, unknown
}

// forget takes out a topic that was known before a read that missed it: it is deleted. By
// identity, not by name or time: under the name there may be a new life by now.
func (c *topicCache) forget(t *topic) {
	c.mu.Lock()
	if c.byName[t.name] == t {
		delete(c.byName, t.name)
	}
	c.mu.Unlock()
	c.tailBytes.Add(-t.refresh())
}

// published accounts for what a tail has grown by, and drops the tails that were not used for
// longest when all together are too large.
func (c *topicCache) published(growth int64) {
	if c.tailBytes.Add(growth) <= c.tailLimit {
		return
	}
	held := c.recount()
	for _, t := range c.byLastUse() {
		if held <= c.tailLimit/2 {
			break
		}
		held -= t.dropTail()
	}
	c.recount()
}

// evict makes room when too many topics are known: those that nobody uses go, the longest unused
// first.
func (c *topicCache) evict() {
	c.recount()
	surplus := len(c.all()) - c.limit
	if surplus <= 0 {
		return
	}
	surplus += c.limit / 10
	for _, t := range c.byLastUse() {
		if surplus <= 0 {
			return
		}
		c.mu.Lock()
		if t.used.Load() == 0 && c.byName[t.name] == t && t.faulty() == nil {
			delete(c.byName, t.name)
			surplus--
		}
		c.mu.Unlock()
	}
}

func (c *topicCache) all() []*topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Values(c.byName))
}

func (c *topicCache) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byName)
}

// byLastUse returns all topics, the longest unused first.
func (c *topicCache) byLastUse() []*topic {
	type entry struct {
		*topic
		at int64
	}
	all := c.all()
	entries := make([]entry, len(all))
	for i, t := range all {
		entries[i] = entry{t, t.lastUse.Load()}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	for i := range entries {
		all[i] = entries[i].topic
	}
	return all
}

// recount corrects the sum of all tails.
func (c *topicCache) recount() int64 {
	var sum int64
	for _, t := range c.all() {
		sum += t.tailSize()
	}
	c.tailBytes.Store(sum)
	return sum
}

// waiting counts a long poll on a topic in (1) or out (−1).
func (c *topicCache) waiting(name TopicName, change int) {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits[name] += change; c.waits[name] == 0 {
		delete(c.waits, name)
	}
}

// waitedOn appends the topics somebody waits on.
func (c *topicCache) waitedOn(to []TopicName) []TopicName {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	to = slices.Grow(to, len(c.waits))
	return slices.AppendSeq(to, maps.Keys(c.waits))
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
