package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// reader is what all workers that read have.
type reader struct {
	conn    *benchConn
	request []byte
	payload int
	turn    int
	// constant says that the answers are those of the empty handler.
	constant bool
	answer   []byte // the last one
}

func (r *reader) rest()              { r.conn.close() }
func (r *reader) lastAnswer() []byte { return r.answer }

// ask sends r.request, and returns the answer if it is a success.
func (r *reader) ask(ctx context.Context) error {
	status, body, err := r.conn.exchange(ctx, r.request)
	if err != nil {
		return &lostError{err}
	}
	if err := succeeded(status, body); err != nil {
		return err
	}
	r.answer = body
	return nil
}

// batch checks an answer with the messages from an offset on, and returns the one after them.
func (r *reader) batch(from int64, nextMember string) (next int64, done work, err error) {
	next, ok := lastInteger(r.answer, nextMember)
	if !ok {
		return 0, work{}, fmt.Errorf("%w: %s", errNoSuchAnswer, excerpt(r.answer))
	}
	if r.constant {
		first, _ := firstInteger(r.answer, memberOffset)
		from = first // whatever was asked for
	}
	n, err := messagesIn(r.answer, from, next)
	if err == nil && n == 0 {
		err = fmt.Errorf("no message at offset %d: %s", from, excerpt(r.answer))
	}
	return next, work{messages: int64(n), bytes: int64(n * r.payload)}, err
}

// offsetWorker consumes batches near the end of its topic. When it has come to the end it asks for the last batch
// again and again, as a consumer may that repeats: going back would be a write of its own.
type offsetWorker struct {
	reader
	limit int
	slots []offsetSlot
}

type offsetSlot struct {
	prefix    []byte // of the body, up to the offset
	next, end int64
}

func (c *benchCommand) offsetWorker(ctx context.Context, s *benchSetup, i int, r reader, ends []int64) (benchWorker, error) {
	w := &offsetWorker{reader: r, limit: c.Batch}
	for _, topic := range c.topicsOf(i) {
		begin := max(0, ends[topic]-nearEnd)
		registered, err := s.consumer(ctx, i, s.topic(topic), strconv.FormatInt(begin, 10))
		if err != nil {
			return nil, err
		}
		prefix := fmt.Appendf(nil, `{"topic":%q,"consumer_id":%d,"offset":`, s.topic(topic), registered.ConsumerID)
		w.slots = append(w.slots, offsetSlot{prefix: prefix, next: begin, end: ends[topic]})
	}
	return w, nil
}

// do implements benchWorker.
func (w *offsetWorker) do(ctx context.Context, _ time.Time) (work, error) {
	s := &w.slots[w.turn]
	var numbers [64]byte
	rest := strconv.AppendInt(numbers[:0], s.next, 10)
	rest = append(rest, `,"limit":`...)
	rest = append(strconv.AppendInt(rest, int64(w.limit), 10), '}')
	w.request = requestHead(w.request[:0], http.MethodPost, "/consumer/consume", w.conn, len(s.prefix)+len(rest))
	w.request = append(append(w.request, s.prefix...), rest...)
	if err := w.ask(ctx); err != nil {
		return work{}, err
	}
	next, done, err := w.batch(s.next, memberOffset)
	if err != nil {
		return work{}, err
	}
	s.next = max(s.next, min(next, s.end-int64(w.limit)))
	w.turn = (w.turn + 1) % len(w.slots)
	return done, nil
}

func (w *offsetWorker) forLimit(conn *benchConn) benchWorker {
	return &offsetWorker{
		reader: reader{conn: conn, payload: w.payload, constant: true}, limit: w.limit, slots: slices.Clone(w.slots),
	}
}

// historyWorker reads its topic in batches from the beginning, far from what the broker has in memory, over and over.
type historyWorker struct {
	reader
	limit int
	slots []historySlot
}

type historySlot struct {
	path      string // up to the offset
	next, end int64
}

func (c *benchCommand) historyWorker(s *benchSetup, i int, r reader, ends []int64) benchWorker {
	w := &historyWorker{reader: r, limit: c.Batch}
	for _, topic := range c.topicsOf(i) {
		end := historyEnd(ends[topic])
		w.slots = append(w.slots, historySlot{
			path: "/topics/" + s.topic(topic) + "/messages?limit=" + strconv.Itoa(c.Batch) + "&offset=",
			next: end * int64(i) / int64(c.Connections), end: end,
		})
	}
	return w
}

// historyEnd is where history ends in a topic that ends there.
func historyEnd(end int64) int64 {
	if end > 2*nearEnd {
		return end - nearEnd
	}
	return end
}

// do implements benchWorker.
func (w *historyWorker) do(ctx context.Context, _ time.Time) (work, error) {
	s := &w.slots[w.turn]
	if s.next+int64(w.limit) > s.end {
		s.next = 0
	}
	w.request = requestHead(w.request[:0], http.MethodGet, s.path+strconv.FormatInt(s.next, 10), w.conn, 0)
	if err := w.ask(ctx); err != nil {
		return work{}, err
	}
	next, done, err := w.batch(s.next, memberNextOffset)
	if err != nil {
		return work{}, err
	}
	if !w.constant {
		s.next = next
	} else {
		s.next += done.messages
	}
	w.turn = (w.turn + 1) % len(w.slots)
	return done, nil
}

func (w *historyWorker) forLimit(conn *benchConn) benchWorker {
	return &historyWorker{
		reader: reader{conn: conn, payload: w.payload, constant: true}, limit: w.limit, slots: slices.Clone(w.slots),
	}
}
