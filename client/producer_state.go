package client

import "slices"

// fill is how much waits in a queue.
type fill int

const (
	fillEmpty fill = iota
	fillSome       // less than a request takes, and more may be waited for
	fillFull       // enough for a request, or somebody waits for the end
	fillEnded      // nothing will be sent any more
)

func (q *queue) fill(maxMessages, maxBytes int, patient bool) fill {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil || (q.closing && len(q.waiting) == 0 && len(q.tickets) == 0) {
		return fillEnded
	}
	if len(q.waiting) == 0 {
		return fillEmpty
	}
	// A send that waits for room waits for this request.
	if !patient || q.closing || q.flushes > 0 || len(q.waiting) >= maxMessages || len(q.tickets) > 0 {
		return fillFull
	}
	size := 0
	for _, it := range q.waiting {
		if size += len(it.raw) + 1; size >= maxBytes {
			return fillFull
		}
	}
	return fillSome
}

// close lets nothing more in. Sends that wait for room are let in still: they came before.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	q.wake()
}

// end answers what is left after the end. Nothing is, if it was a regular one.
func (q *queue) end() {
	q.close()
	q.mu.Lock()
	left := len(q.waiting) + len(q.tickets)
	q.mu.Unlock()
	if left > 0 {
		q.fail(ErrClosed)
	}
}

// flush returns everything that is not answered yet, and hurries the queue until end is called.
func (q *queue) flush() (deliveries []*delivery, end func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range slices.Concat(q.sent, q.waiting) {
		if n := len(deliveries); n == 0 || deliveries[n-1] != it.to {
			deliveries = append(deliveries, it.to)
		}
	}
	for _, t := range q.tickets {
		deliveries = append(deliveries, t.of)
	}
	q.flushes++
	q.wake()
	return deliveries, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.flushes--
	}
}

func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

// claim hands over the error that no Send has returned, if there is one. It is told once.
func (q *queue) claim() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.untold
	q.untold = nil
	return err
}

// seqOf is the seq of a message whose turn it is: that of the outbox, or of the first that is not stored.
func (q *queue) seqOf(it *item) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.kept {
		return it.seq
	}
	return q.next
}

// promisedSeq is the seq behind everything in the queue.
func (q *queue) promisedSeq() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == NoSeq {
		return NoSeq
	}
	next := q.next + int64(q.messages)
	for _, it := range slices.Concat(q.sent, q.waiting) {
		if it.kept && it.seq < q.next {
			next-- // it has a seq below, and is only compared with what is stored
		}
	}
	return next
}

func (q *queue) lastOffset() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last
}

// take moves the next messages into the request under way: as many as the limits allow, at least one.
func (q *queue) take(maxMessages, maxBytes int) []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < maxMessages {
		size += len(q.waiting[n].raw) + 1
		// What an earlier life has left goes first, and by itself.
		if n > 0 && (size > maxBytes || q.waiting[n].kept != q.waiting[0].kept) {
			break
		}
		n++
	}
	batch := slices.Clone(q.waiting[:n])
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	for _, it := range batch {
		it.state = itemSent
	}
	q.sent = slices.Clone(batch) // settle removes from it in place
	return batch
}
