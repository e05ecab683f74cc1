package service

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// topic is what this broker knows of one life of a topic: its newest known head, the messages
// near its end, and who waits for more. All of it is a hint: the store is the truth, and whatever
// says "this is the end" is read from there (P12).
type topic struct {
	id   TopicID
	name TopicName

	used    atomic.Int64         // calls under way; a topic in use is not evicted
	lastUse atomic.Int64         // nanoseconds
	pace    atomic.Pointer[pace] // of what this broker takes for the topic, nil where it has no quota

	mu          sync.Mutex
	head        Head
	confirmedAt time.Time // when the read or commit began that last showed this incarnation
	published   Offset    // the end of what this broker has appended itself
	tail        tail
	advanced    chan struct{} // closed and replaced when there is news
	renewed     func(TopicID) // called with mu held when the incarnation has changed
	fault       error         // set when what is stored contradicts itself: the topic is stopped
}

func newTopic(head Head, at time.Time, renewed func(TopicID)) *topic {
	t := &topic{
		id: head.ID, name: head.Name, head: head, confirmedAt: at, advanced: make(chan struct{}), renewed: renewed,
	}
	t.limit(head.Quota)
	return t
}

// observe takes in a head that was read from the store. at is when the read began: a slow read
// may arrive after a newer commit was published, so Next never goes back within an incarnation.
func (t *topic) observe(head Head, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case head.Incarnation != t.head.Incarnation:
		if at.Before(t.confirmedAt) {
			return
		}
		t.tail, t.published, t.head = tail{}, 0, head
		t.renewed(t.id)
		t.wake()
	case head.Next > t.head.Next:
		t.head = head
		t.wake()
	default:
		t.head.First = max(t.head.First, head.First)
	}
	if !at.Before(t.confirmedAt) {
		t.confirmedAt = at
		t.limit(head.Quota)
	}
}

// limit takes in the quota of a head that is the newest known. The caller holds mu.
func (t *topic) limit(quota TopicQuota) {
	t.head.Quota = quota
	if now := t.pace.Load(); now == nil && quota.BytesPerSecond == 0 || now != nil && now.rate == quota.BytesPerSecond {
		return
	}
	t.pace.Store(newPace(quota.BytesPerSecond))
}

// publish takes in a group this broker has committed; at is when the commit began. It checks what
// must hold: the group is dense, ends at its head, and lies behind all that this broker has
// appended before, for the lane of a topic commits one group at a time.
func (t *topic) publish(a *TopicAppend, at time.Time) (tailGrowth int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := a.Messages[0].Offset
	if err := CheckRun(a.Messages, first, len(a.Messages)); err != nil {
		return 0, t.stop(err)
	}
	if a.Head.Next != first+Offset(len(a.Messages)) {
		return 0, t.stop(fmt.Errorf("%d messages at %d end at %d", len(a.Messages), first, a.Head.Next))
	}
	before := t.tail.bytes
	if a.Head.Incarnation != t.head.Incarnation {
		t.tail, t.published, t.head = tail{}, 0, a.Head
		t.renewed(t.id)
	}
	if first < t.published {
		return 0, t.stop(fmt.Errorf("appended at %d, before the end at %d", first, t.published))
	}
	t.published = a.Head.Next
	t.tail.add(a.Messages)
	// A read may have seen this group, or another broker's later one, already: the head stays that one.
	if a.Head.Next > t.head.Next {
		a.Head.First = max(a.Head.First, t.head.First)
		t.head = a.Head
	}
	t.head.First = max(t.head.First, a.Head.First)
	t.wake()
	if !at.Before(t.confirmedAt) {
		t.confirmedAt = at
		t.limit(a.Head.Quota)
	}
	return t.tail.bytes - before, nil
}

// floor takes in a head whose first offset was just moved.
func (t *topic) floor(head Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head.Incarnation == t.head.Incarnation {
		t.head.First = max(t.head.First, head.First)
		t.tail.forgetBelow(t.head.First)
	}
}

// read answers from memory: the messages at from, as many as the tail holds and w allows. full
// says that w stopped it, not the end of the tail.
func (t *topic) read(incarnation string, from Offset, w window) (messages []Message, full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if incarnation != t.head.Incarnation || from < t.head.First {
		return nil, false
	}
	return t.tail.read(from, w)
}

// known returns the newest known head, when it was confirmed, and a channel that is closed when
// there is news.
func (t *topic) known() (head Head, confirmedAt time.Time, advanced <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, t.confirmedAt, t.advanced
}

// refresh drops the tail and wakes everybody who waits: they look again at what the store has. It
// is called where this broker does not know what became of the topic. It returns the bytes freed.
func (t *topic) refresh() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	freed := t.tail.bytes
	t.tail = tail{}
	t.confirmedAt = time.Time{}
	t.wake()
	return freed
}

// news wakes everybody who waits, to look whether there is something new.
func (t *topic) news() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake()
}

func (t *topic) wake() {
	close(t.advanced)
	t.advanced = make(chan struct{})
}

// stop refuses the topic from now on: better no answer than a wrong one. The caller holds mu.
func (t *topic) stop(cause error) error {
	if t.fault == nil {
		t.fault = ErrInternal.Because(fmt.Errorf("topic %s is stopped: %w", t.name, cause))
		t.tail = tail{}
		t.wake()
	}
	return t.fault
}

// stopFor is stop for a caller that does not hold mu.
func (t *topic) stopFor(cause error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stop(cause)
}

// faulty returns why the topic is stopped, nil when it is not.
func (t *topic) faulty() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}

// dropTail forgets the messages in memory and returns how many bytes they had.
func (t *topic) dropTail() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.tail.bytes
	t.tail = tail{}
	return n
}

func (t *topic) tailSize() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tail.bytes
}

func (t *topic) release() { t.used.Add(-1) }
