package workload

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireclient"

	"github.com/topiq/topiq/torture/history"
)

// session is one life of a named producer.
type session struct {
	c       *client
	id      int64
	epoch   int64
	nextSeq int64
	// sent are the last batches that were acknowledged, for repeats.
	sent []batch
}

// batch is messages that are sent together under consecutive seqs.
type batch struct {
	seq      int64
	messages []wire.ProduceMessage
	values   []history.Value
}

// produceAlone is a named producer that opens a session and keeps it; where the history of the
// topic changed, it opens another.
func (c *client) produceAlone() {
	for !c.w.Stopped() && !c.enough() {
		s := c.open()
		if s == nil {
			return
		}
		s.run(func() bool { return c.w.Stopped() })
	}
}

// produceInTurns opens a session, and a new one every now and then while the earlier ones go on
// sending until they are fenced (I14).
func (c *client) produceInTurns() {
	running := make(chan struct{}, 3) // sessions at a time
	for !c.w.Stopped() && !c.enough() {
		next := &client{
			w: c.w, topic: c.topic, name: c.name, rand: newRand(c.rand), at: c.at, incarnation: c.incarnation, short: c.short,
		}
		select {
		case running <- struct{}{}:
		case <-c.w.stopping:
			return
		}
		s := next.open()
		if s == nil {
			return
		}
		c.w.group.Go(func() {
			defer func() { <-running }()
			s.run(func() bool { return c.w.Stopped() })
		})
		c.w.sleep(time.Duration(float64(c.w.options.Takeover) * (0.3 + 1.4*c.rand.Float64())))
	}
}

// open registers a new session, with one instance however often it must ask. Nil: given up.
func (c *client) open() *session {
	instance := fmt.Sprintf("%016x%016x", c.rand.Uint64(), c.rand.Uint64())
	var result wire.RegisterProducerResult
	for {
		op := c.persist(func() (*history.Op, *wire.Failure) {
			op := c.op(history.Register)
			result = wire.RegisterProducerResult{}
			failure := c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
				return to.RegisterProducer(ctx, wire.RegisterProducerRequest{Topic: c.topic, ProdName: &c.name, Instance: &instance})
			})
			if op.Outcome == history.OK && result.Epoch != nil && result.NextSeq != nil {
				op.Epoch, op.NextSeq, op.Incarnation = *result.Epoch, *result.NextSeq, result.Incarnation
			}
			c.w.rec.Add(op)
			return op, failure
		})
		if op == nil {
			return nil
		}
		if op.Outcome == history.OK {
			if op.Epoch == history.None || op.NextSeq == history.None {
				c.w.problem("P2: a register with a name was answered without epoch or next_seq: %s", op)
				return nil
			}
			c.incarnation = result.Incarnation
			return &session{c: c, id: result.ProducerID, epoch: op.Epoch, nextSeq: op.NextSeq}
		}
		// A later session has the name already: this one never got to know its own epoch.
		if op.Code != string(wire.FailureCodeProducerFenced) {
			c.w.problem("a register was refused: %s", op)
			c.w.backOff(c.retryPause())
		}
		if c.w.Stopped() {
			return nil
		}
		instance = fmt.Sprintf("%016x%016x", c.rand.Uint64(), c.rand.Uint64())
	}
}

// run sends batches until the session ends or done says so.
func (s *session) run(done func() bool) {
	o := &s.c.w.options
	clients := (o.Producers + o.Takeovers + o.Unsequenced) * o.Topics
	for !done() {
		b := s.newBatch()
		if !s.send(b, false) {
			return
		}
		s.nextSeq += int64(len(b.values))
		if len(s.sent) == 8 {
			s.sent = s.sent[1:]
		}
		s.sent = append(s.sent, b)
		switch s.c.rand.IntN(50) {
		case 0: // an old request once more
			if !s.send(s.sent[s.c.rand.IntN(len(s.sent))], false) {
				return
			}
		case 1: // other bytes under an old seq
			if !s.send(s.mutant(), true) {
				return
			}
		}
		if s.c.short {
			s.c.w.sleep(time.Duration(float64(shortPause) * (0.5 + s.c.rand.Float64())))
			if s.c.w.short.Add(1) > shortOps {
				return
			}
			continue
		}
		s.c.pace(clients)
	}
}

func (s *session) newBatch() batch {
	b := batch{seq: s.nextSeq}
	n := 1
	if s.c.rand.IntN(3) == 0 {
		n += s.c.rand.IntN(4)
	}
	for i := range n {
		s.add(&b, fmt.Sprintf("%s/%s/%d/%d/%x", s.c.topic, s.c.name, s.epoch, b.seq+int64(i), s.c.rand.Uint32()))
	}
	return b
}

func (s *session) add(b *batch, tag string) {
	m, v := newMessage(s.c.rand, tag, s.c.w.options.BigPayloads)
	b.messages, b.values = append(b.messages, m), append(b.values, v)
}

// mutant is a batch that was acknowledged, with one message replaced.
func (s *session) mutant() batch {
	old := s.sent[s.c.rand.IntN(len(s.sent))]
	b := batch{seq: old.seq}
	other := s.c.rand.IntN(len(old.values))
	for i := range old.values {
		if i != other {
			b.messages, b.values = append(b.messages, old.messages[i]), append(b.values, old.values[i])
			continue
		}
		s.add(&b, fmt.Sprintf("mutant of %s/%x", old.values[i].Tag, s.c.rand.Uint32()))
	}
	return b
}

// send sends a batch until it knows what became of it, and says whether the session goes on.
func (s *session) send(b batch, mutant bool) bool {
	op := s.c.persist(func() (*history.Op, *wire.Failure) { return s.attempt(b, mutant) })
	switch {
	case op == nil:
		return false
	case op.Outcome == history.OK:
		return true
	default: // A mutant must be refused like this; everything else ends the session.
		return mutant && op.Code == string(wire.FailureCodeSeqReused)
	}
}

func (s *session) attempt(b batch, mutant bool) (*history.Op, *wire.Failure) {
	c := s.c
	if c.w.options.Everywhere && len(c.w.clients) > 1 {
		return s.attemptEverywhere(b, mutant)
	}
	op, result := c.op(history.Produce), &wire.ProduceResult{}
	failure := c.attempt(op, 0, result, s.request(op, b, mutant))
	s.record(op, result, b)
	return op, failure
}

// request fills in what is asked, and makes the call that asks it.
func (s *session) request(op *history.Op, b batch, mutant bool) call {
	c := s.c
	op.Epoch, op.Seq, op.Values, op.Mutant = s.epoch, b.seq, b.values, mutant
	request := wire.ProduceRequest{
		Topic: c.topic, ProducerID: s.id, ProdName: &c.name, Epoch: &s.epoch, Seq: &b.seq,
		Incarnation: c.incarnationToSend(), Messages: b.messages,
	}
	return func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
		return to.Produce(ctx, request)
	}
}

// record adds an operation with what was answered.
func (s *session) record(op *history.Op, result *wire.ProduceResult, b batch) {
	if op.Outcome == history.OK {
		op.Duplicate, op.Incarnation = result.Duplicate, result.Incarnation
		if op.Offsets = offsets(result, b.seq, len(b.values)); op.Offsets == nil {
			s.c.w.problem("P4: an answer that does not say where each message is: %s", op)
		}
	}
	s.c.w.rec.Add(op)
}

// attemptEverywhere sends one request to all brokers at the same moment and waits for all answers.
// It returns the best of them: one success is enough for the client.
func (s *session) attemptEverywhere(b batch, mutant bool) (*history.Op, *wire.Failure) {
	w := s.c.w
	w.everywhere.Add(1)
	ops := make([]*history.Op, len(w.clients))
	failures := make([]*wire.Failure, len(w.clients))
	var group sync.WaitGroup
	for i := range w.clients {
		op, result := s.c.op(history.Produce), &wire.ProduceResult{}
		do := s.request(op, b, mutant)
		ops[i] = op
		group.Go(func() {
			failures[i] = w.attempt(op, i, 0, result, do)
			s.record(op, result, b)
		})
	}
	group.Wait()
	best := 0
	for i, op := range ops {
		rank := map[history.Outcome]int{history.OK: 2, history.Fail: 1, history.Info: 0}
		if rank[op.Outcome] > rank[ops[best].Outcome] || op.Outcome == history.Fail && ops[best].Code == history.CodeNotSent {
			best = i
		}
	}
	return ops[best], failures[best]
}

// offsets finds where each message of a request is, nil if the answer does not say so.
func offsets(result *wire.ProduceResult, seq int64, n int) []int64 {
	list := make([]int64, n)
	if len(result.Ranges) == 0 {
		if result.Count != int64(n) || result.Offset == nil {
			return nil
		}
		for i := range list {
			list[i] = *result.Offset + int64(i)
		}
		return list
	}
	next := 0
	for _, r := range result.Ranges {
		if r.Seq != seq+int64(next) || r.Count < 1 || next+int(r.Count) > n {
			return nil
		}
		for i := range int(r.Count) {
			list[next+i] = history.None
			if r.Offset != nil {
				list[next+i] = *r.Offset + int64(i)
			}
		}
		next += int(r.Count)
	}
	if next != n {
		return nil
	}
	return list
}

// produceOnce sends messages without seq, each one time: one whose answer was lost may be stored or
// not, but never twice (P6).
func (c *client) produceOnce() {
	var registered wire.RegisterProducerResult
	op := c.persist(func() (*history.Op, *wire.Failure) {
		op := c.op(history.Register)
		op.Name = ""
		failure := c.attempt(op, 0, &registered, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
			return to.RegisterProducer(ctx, wire.RegisterProducerRequest{Topic: c.topic})
		})
		c.w.rec.Add(op)
		return op, failure
	})
	if op == nil || op.Outcome != history.OK {
		return
	}
	o := &c.w.options
	for i := 0; !c.w.Stopped(); i++ {
		m, v := newMessage(c.rand, fmt.Sprintf("%s/%s/%d/%x", c.topic, c.name, i, c.rand.Uint32()), o.BigPayloads)
		op := c.op(history.Produce)
		op.Name, op.Values = "", []history.Value{v}
		var result wire.ProduceResult
		c.attempt(op, 0, &result, func(ctx context.Context, to *wireclient.Client) (*http.Response, error) {
			return to.Produce(ctx, wire.ProduceRequest{
				Topic: c.topic, ProducerID: registered.ProducerID,
				Messages: []wire.ProduceMessage{m},
			})
		})
		if op.Outcome == history.OK {
			op.Incarnation, op.Offsets = result.Incarnation, offsets(&result, 0, 1)
		}
		c.w.rec.Add(op)
		if op.Outcome != history.OK {
			c.w.backOff(c.retryPause())
		}
		c.pace((o.Producers + o.Takeovers + o.Unsequenced) * o.Topics)
	}
}
