package service

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// topic is what this broker knows of one life of a topic: its newest known head, the messages
// near its end, and who waits for more. The store is the truth; everything here can be dropped.
type topic struct {
	id   TopicID
	name TopicName

	// waiting counts long polls; used counts calls under way. Neither may be evicted.
	waiting, used atomic.Int64

	mu          sync.Mutex
	head        Head
	confirmedAt time.Time // when the read or commit began that last showed this incarnation
	usedAt      time.Time
	tail        tail
	advanced    chan struct{} // closed and replaced when head moves
	// uncertainAt is when an append ended with an unknown outcome; zero when the head is certain.
	uncertainAt time.Time
	fault       error // set when what is stored contradicts itself: the topic is stopped
}

func newTopic(head Head, at time.Time) *topic {
	return &topic{id: head.ID, name: head.Name, head: head, confirmedAt: at, usedAt: at, advanced: make(chan struct{})}
}

// observe takes in a head that was read from the store. at is when the read began: a slow read
// may arrive after a newer commit was published, so Next never goes back within an incarnation.
func (t *topic) observe(head Head, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head.Incarnation != t.head.Incarnation {
		if at.Before(t.confirmedAt) {
			return
		}
		t.tail = tail{}
		t.head = head
		t.confirmedAt = at
		t.wake()
		return
	}
	if at.After(t.confirmedAt) {
		t.confirmedAt = at
	}
	if at.After(t.uncertainAt) {
		t.uncertainAt = time.Time{}
	}
	t.head.First = max(t.head.First, head.First)
	if head.Next > t.head.Next {
		t.head.Next, t.head.Bytes, t.head.LastAppend = head.Next, head.Bytes, head.LastAppend
		t.wake()
	}
}

// publish takes in a group this broker has committed. It checks what must hold: offsets are dense
// and the group lies behind everything seen before. alone says that no other broker appends, so
// that the group must begin exactly at the known end.
func (t *topic) publish(a *TopicAppend, alone bool, at time.Time) (tailGrowth int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := a.Messages[0].Offset
	if err := CheckRun(a.Messages, first, int(a.Head.Next-first)); err != nil {
		return 0, t.stop(err)
	}
	if a.Head.Next != first+Offset(len(a.Messages)) {
		return 0, t.stop(fmt.Errorf("%d messages at %d end at %d", len(a.Messages), first, a.Head.Next))
	}
	same := a.Head.Incarnation == t.head.Incarnation
	if same && alone && first != t.head.Next && t.uncertainAt.IsZero() {
		return 0, t.stop(fmt.Errorf("appended at %d, but the end was %d", first, t.head.Next))
	}
	before := t.tail.bytes
	if !same {
		t.tail = tail{}
	}
	t.tail.add(a.Messages)
	t.uncertainAt = time.Time{}
	// Another broker's later group may have been seen already: then the head stays that one.
	if !same || a.Head.Next > t.head.Next {
		if same {
			a.Head.First = max(a.Head.First, t.head.First)
		}
		t.head = a.Head
		t.wake()
	}
	if at.After(t.confirmedAt) {
		t.confirmedAt = at
	}
	t.usedAt = at
	return t.tail.bytes - before, nil
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

// snapshot returns the newest known head, and a channel that is closed when there is a newer one.
func (t *topic) snapshot() (head Head, confirmedAt time.Time, advanced <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, t.confirmedAt, t.advanced
}

// doubt takes note that an append ended with an unknown outcome: what is in memory may lack what
// was stored, so the tail is dropped and the head read again. It returns how many bytes that freed.
func (t *topic) doubt(at time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.uncertainAt = at
	freed := t.tail.bytes
	t.tail = tail{}
	return freed
}

// certain returns the newest known head, and whether nothing this broker did may have moved it.
func (t *topic) certain() (Head, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, t.uncertainAt.IsZero()
}

// end wakes everybody who waits on a topic that was deleted or replaced: they look again.
func (t *topic) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = tail{}
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
