package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// produceWorker is a connection that produces: one request at a time, each with one batch, to its topics in turn.
type produceWorker struct {
	conn    *benchConn
	request []byte
	slots   []produceSlot
	turn    int
	batch   int
	payload int
	// stamped writes the time of sending in front of each payload; begun is what it counts from.
	stamped bool
	begun   time.Time
	// constant says that the answers are those of the empty handler, which keeps nothing.
	constant bool
	answer   []byte // the last one
}

// produceSlot is a producer on one topic. Its body is prefix, the seq if it has a name, and rest.
type produceSlot struct {
	topic        string
	prefix, rest []byte
	named        bool
	seq          int64
	inDoubt      bool // the last request got no answer, or one that it may be tried again after
	last         int64
	stamps       []int // where in rest the payloads begin
}

func newProduceSlot(topic string, r registration, name string, batch, payload int) produceSlot {
	s := produceSlot{topic: topic, named: name != "", seq: r.NextSeq, last: -1}
	s.prefix = fmt.Appendf(nil, `{"topic":%q,"producer_id":%d`, topic, r.ProducerID)
	if s.named {
		s.prefix = fmt.Appendf(s.prefix, `,"prod_name":%q,"epoch":%d,"seq":`, name, r.Epoch)
	}
	text := benchPayload(payload)
	open := func(before string) {
		s.rest = append(s.rest, before+memberMessage...)
		s.stamps = append(s.stamps, len(s.rest))
		s.rest = append(append(s.rest, text...), '"')
	}
	if batch == 1 {
		open(",")
	} else {
		open(`,"messages":[{`)
		for range batch - 1 {
			open("},{")
		}
		s.rest = append(s.rest, "}]"...)
	}
	s.rest = append(s.rest, '}')
	return s
}

// append appends the body of the next request.
func (s *produceSlot) append(to []byte) []byte {
	to = append(to, s.prefix...)
	if s.named {
		to = strconv.AppendInt(to, s.seq, 10)
	}
	return append(to, s.rest...)
}

// size is how long the body of the next request is.
func (s *produceSlot) size() int {
	n := len(s.prefix) + len(s.rest)
	if s.named {
		n++
		for seq := s.seq; seq > 9; seq /= 10 {
			n++
		}
	}
	return n
}

// stampDigits is how long a time of sending is: nanoseconds since the run began.
const stampDigits = 16

// stamp writes a time in front of each payload.
func (s *produceSlot) stamp(t time.Duration) {
	digits := fmt.Appendf(nil, "%0*d", stampDigits, min(t.Nanoseconds(), int64(math.Pow10(stampDigits))-1))
	for _, at := range s.stamps {
		copy(s.rest[at:], digits)
	}
}

// do implements benchWorker. A named producer that got no answer sends the same again, so nothing is ever
// stored twice; one without a name goes on with the next message, for nobody knows.
func (w *produceWorker) do(ctx context.Context, sent time.Time) (work, error) {
	s := &w.slots[w.turn]
	if w.stamped && !s.inDoubt {
		s.stamp(sent.Sub(w.begun))
	}
	w.request = s.append(requestHead(w.request[:0], http.MethodPost, "/producer/produce", w.conn, s.size()))
	status, body, err := w.conn.exchange(ctx, w.request)
	if err != nil {
		s.inDoubt = s.named
		return work{}, &lostError{err}
	}
	if err := succeeded(status, body); err != nil {
		refused, ok := errors.AsType[*refusedError](err)
		s.inDoubt = s.named && (s.inDoubt || ok && refused.status >= http.StatusInternalServerError)
		return work{}, err
	}
	offset, err := produced(body, w.batch, s.inDoubt)
	if err != nil {
		return work{}, err
	}
	if !w.constant && offset <= s.last {
		return work{}, fmt.Errorf("offset %d is answered after %d", offset, s.last)
	}
	w.answer = body
	s.last, s.inDoubt, s.seq = offset+int64(w.batch)-1, false, s.seq+int64(w.batch)
	w.turn = (w.turn + 1) % len(w.slots)
	return work{messages: int64(w.batch), bytes: int64(w.batch * w.payload)}, nil
}

func (w *produceWorker) rest()              { w.conn.close() }
func (w *produceWorker) lastAnswer() []byte { return w.answer }

// produceWorkers registers the producers of a run. Where there are more topics than connections, a
// connection has several.
func (c *benchCommand) produceWorkers(ctx context.Context, s *benchSetup) ([]benchWorker, error) {
	workers := make([]benchWorker, c.Connections)
	err := inParallel(ctx, c.Connections, func(ctx context.Context, i int) error {
		w, err := c.produceWorker(ctx, s, i)
		workers[i] = w
		return err
	})
	return workers, err
}

func (c *benchCommand) produceWorker(ctx context.Context, s *benchSetup, i int) (*produceWorker, error) {
	conn, err := s.connect(s.url(i))
	if err != nil {
		return nil, err
	}
	w := &produceWorker{conn: conn, batch: c.Batch, payload: c.PayloadBytes}
	for _, topic := range c.topicsOf(i) {
		name := ""
		if !c.Anonymous {
			name = fmt.Sprintf("bench-%d", i)
		}
		r, err := s.producer(ctx, i, s.topic(topic), name)
		if err != nil {
			return nil, err
		}
		w.slots = append(w.slots, newProduceSlot(s.topic(topic), r, name, c.Batch, c.PayloadBytes))
	}
	return w, nil
}

// topicsOf are the topics of a connection.
func (c *benchCommand) topicsOf(connection int) (topics []int) {
	if c.Topics <= c.Connections {
		return []int{connection % c.Topics}
	}
	for topic := connection; topic < c.Topics; topic += c.Connections {
		topics = append(topics, topic)
	}
	return topics
}

// forLimit is a copy that sends the same to the empty handler.
func (w *produceWorker) forLimit(conn *benchConn) benchWorker {
	limit := &produceWorker{conn: conn, batch: w.batch, payload: w.payload, constant: true}
	limit.slots = append(limit.slots, w.slots...)
	return limit
}
