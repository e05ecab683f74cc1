package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// queue holds the messages of a producer from Send to their answer, in order. Sends put them in and wait;
// one goroutine takes them out by the batch.
type queue struct {
	maxMessages, maxBytes int
	changed               chan struct{} // holds at most one wake-up for the goroutine that takes

	mu       sync.Mutex
	waiting  []*item   // in order; not sent yet
	sent     []*item   // in order; in the request under way
	messages int       // of waiting and sent
	bytes    int       // of waiting and sent
	tickets  []*ticket // sends that wait for room, first come, first served
	next     int64     // the seq of the first message that is not stored; of named producers
	last     int64     // the offset of the last stored message; -1 if there is none
	closing  bool      // nothing more is accepted; what is there is sent
	failed   error     // nothing more is accepted or sent
	untold   error     // the first error that came after its Send had returned, for Flush or Close
	flushes  int       // calls of Flush under way
}

// item is one message.
type item struct {
	raw   []byte // as a member of the request
	to    *delivery
	index int // in to.results
	state itemState
	kept  bool  // it is in the outbox
	seq   int64 // then: under which it is sent
	span  Span  // nil without a tracer
}

type itemState int

const (
	itemWaiting itemState = iota
	itemSent
	itemSettled
)

// delivery is one Send or SendBatch.
type delivery struct {
	items   []*item
	results []Result
	left    int // messages without a result
	done    chan struct{}
	gone    bool // nobody waits for the results any more
}

// newDelivery is of messages as they are encoded, and their spans if there are any.
func newDelivery(raws [][]byte, spans []Span) *delivery {
	d := &delivery{left: len(raws), results: make([]Result, len(raws)), done: make(chan struct{})}
	for i, raw := range raws {
		it := &item{raw: raw, to: d, index: i}
		if spans != nil {
			it.span = spans[i]
		}
		d.items = append(d.items, it)
	}
	return d
}

// ticket is a send that waits for room.
type ticket struct {
	of     *delivery
	called chan struct{} // closed when of is in the queue, or refused
	err    error
}

func (d *delivery) bytes() int {
	n := 0
	for _, it := range d.items {
		n += len(it.raw) + 1 // and a comma
	}
	return n
}

// put appends a delivery, after waiting for room.
func (q *queue) put(ctx context.Context, d *delivery) error {
	q.mu.Lock()
	if err := q.refusal(); err != nil {
		q.mu.Unlock()
		return err
	}
	if len(q.tickets) == 0 && q.fits(d) {
		q.add(d)
		q.mu.Unlock()
		return nil
	}
	t := &ticket{of: d, called: make(chan struct{})}
	q.tickets = append(q.tickets, t)
	q.mu.Unlock()

	select {
	case <-t.called:
		return t.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.tickets, t)
	if i < 0 {
		return t.err // called at the same moment
	}
	q.tickets = slices.Delete(q.tickets, i, i+1)
	close(d.done)
	q.admit() // the next one may be smaller
	return notSent(ctx.Err())
}

func notSent(err error) error { return fmt.Errorf("topiq: the message was not sent: %w", err) }

func (q *queue) refusal() error {
	if q.failed != nil {
		return q.failed
	}
	if q.closing {
		return ErrClosed
	}
	return nil
}

func (q *queue) fits(d *delivery) bool {
	return q.messages == 0 ||
		(q.messages+len(d.items) <= q.maxMessages && q.bytes+d.bytes() <= q.maxBytes)
}

func (q *queue) add(d *delivery) {
	q.waiting = append(q.waiting, d.items...)
	q.messages += len(d.items)
	q.bytes += d.bytes()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

func (q *queue) admit() {
	for len(q.tickets) > 0 && q.fits(q.tickets[0].of) {
		t := q.tickets[0]
		q.tickets = q.tickets[1:]
		q.add(t.of)
		close(t.called)
	}
}

// leave ends the wait of a delivery whose context ended with err, and returns its results. What was not sent
// is taken back and is certainly not stored. What is under way stays there, for its seq is taken: its outcome
// is unknown yet.
func (q *queue) leave(d *delivery, err error) []Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.left == 0 {
		return d.results
	}
	d.gone = true
	q.waiting = slices.DeleteFunc(q.waiting, func(it *item) bool { return it.to == d })
	for _, it := range d.items {
		switch it.state {
		case itemWaiting:
			d.results[it.index].Err = notSent(err)
			q.release(it)
		case itemSent:
			d.results[it.index].Err = it.explain(doubtful("produce", err))
		case itemSettled:
			continue
		}
	}
	q.admit()
	return slices.Clone(d.results) // settle still writes into d.results
}

// settle answers messages of the request under way.
func (q *queue) settle(items []*item, result func(i int) Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settleLocked(items, result)
}

func (q *queue) settleLocked(items []*item, result func(i int) Result) {
	for i, it := range items {
		r := result(i)
		if r.Err == nil && r.Seq >= 0 {
			q.next = max(q.next, r.Seq+1)
		}
		if r.Err == nil {
			q.last = max(q.last, r.Offset)
		}
		it.to.results[it.index] = r
		if it.to.gone && q.untold == nil {
			q.untold = r.Err
		}
		q.release(it)
	}
	q.sent = slices.DeleteFunc(q.sent, func(it *item) bool { return it.state == itemSettled })
	q.admit()
}

// release counts a message out.
func (q *queue) release(it *item) {
	it.state = itemSettled
	q.messages--
	q.bytes -= len(it.raw) + 1
	it.raw = nil
	if it.to.left--; it.to.left == 0 {
		close(it.to.done)
	}
}

// fail ends the queue: whatever waits is answered with err, and so is whatever comes.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed == nil {
		q.failed = err
	}
	for _, t := range q.tickets {
		t.err = q.failed
		close(t.of.done)
		close(t.called)
	}
	q.tickets = nil
	waiting := q.waiting
	q.waiting = nil
	q.settleLocked(waiting, func(int) Result { return Result{Offset: NoOffset, Seq: NoSeq, Err: q.failed} })
	q.wake()
}
