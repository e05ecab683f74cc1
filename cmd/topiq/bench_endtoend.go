package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// endToEnd is a load of producers, and for each topic a receiver that asks for what comes. A message
// carries the time of its sending.
type endToEnd struct {
	producers []*produceWorker
	receivers []*receiver
	load      load
	begun     time.Time
}

// Times of a receiver: the wait of its long polls in seconds, how long after the last answer to a produce its message
// must have come, and how often that is looked at.
const (
	pollSeconds   = 20
	receiveWithin = 20 * time.Second
	receivedCheck = 2 * time.Millisecond
)

func (b *bench) prepareEndToEnd() error {
	c := b.command
	workers, err := c.produceWorkers(b.running, b.setup)
	if err != nil {
		return err
	}
	e := &endToEnd{
		begun: time.Now(),
		load:  load{workers: workers, warmUp: c.WarmUp, duration: c.Duration, interval: c.interval()},
	}
	for i := range workers {
		w, ok := workers[i].(*produceWorker)
		if !ok {
			return fmt.Errorf("a %T cannot send the time", workers[i])
		}
		w.stamped, w.begun = true, e.begun
		e.producers = append(e.producers, w)
	}
	for topic := range c.Topics {
		// The next connection, which is with another broker if there are several.
		conn, err := b.setup.connect(b.setup.url(topic + 1))
		if err != nil {
			return err
		}
		r := &receiver{reader: reader{conn: conn, payload: c.PayloadBytes}, topic: b.setup.topic(topic), streams: c.Receive == "stream"}
		end, err := b.setup.end(b.running, r.topic)
		if err != nil {
			return err
		}
		r.next.Store(end)
		e.receivers = append(e.receivers, r)
	}
	b.contenders = append(b.contenders, contender{name: "topiq", run: e.run})
	if !c.Limit {
		return nil
	}
	return b.addEndToEndLimits(workers)
}

// addEndToEndLimits adds what can be waited for no longer than for a message to be received: that it is committed, where there is a disk,
// and that its producer gets an answer.
func (b *bench) addEndToEndLimits(workers []benchWorker) error {
	if !b.command.onDisk() {
		return b.addEmpty(workers)
	}
	if err := b.addBareCommit(); err != nil {
		return err
	}
	if err := b.keepAnswer(workers); err != nil {
		return err
	}
	return b.addOneCommit(workers, "--payload-bytes", strconv.Itoa(b.command.PayloadBytes))
}

// run measures the messages that are sent after the warm-up. Each must be received.
func (e *endToEnd) run(ctx context.Context, live *liveFigures) (figures, error) {
	began := time.Now()
	r := newRecorder(began.Add(e.load.warmUp), began.Add(e.load.warmUp+e.load.duration), live)
	ctx, finish := context.WithCancelCause(ctx)
	defer finish(nil)
	group, working := errgroup.WithContext(ctx)
	for _, receiver := range e.receivers {
		group.Go(func() error { return receiver.run(working, &meter{recorder: r}, e.begun) })
	}
	var sent figures
	group.Go(func() (err error) {
		if sent, err = e.load.run(working, &liveFigures{}); err != nil {
			return err
		}
		if err := e.received(working); err != nil {
			return err
		}
		finish(errAllReceived)
		return nil
	})
	if err := group.Wait(); err != nil && !errors.Is(err, errAllReceived) {
		return figures{}, err
	}
	f := r.figures()
	for code, n := range sent.Errors {
		if f.Errors == nil {
			f.Errors = map[string]int64{}
		}
		f.Errors[code] += n
	}
	return f, nil
}

var errAllReceived = errors.New("all messages were received")

// received waits until the receivers have all that was sent.
func (e *endToEnd) received(ctx context.Context) error {
	ends := map[string]int64{}
	for _, w := range e.producers {
		for i := range w.slots {
			s := &w.slots[i]
			ends[s.topic] = max(ends[s.topic], s.last+1)
		}
	}
	deadline := time.Now().Add(receiveWithin)
	for _, receiver := range e.receivers {
		for receiver.next.Load() < ends[receiver.topic] {
			if time.Now().After(deadline) {
				return fmt.Errorf("topic %s was received up to offset %d, but what was acknowledged goes up to %d",
					receiver.topic, receiver.next.Load(), ends[receiver.topic])
			}
			if err := pause(ctx, receivedCheck); err != nil {
				return err
			}
		}
	}
	return nil
}

// receiver takes the messages of a topic as they come, by long polls or by a stream.
type receiver struct {
	reader
	topic   string
	next    atomic.Int64
	streams bool
	events  *bufio.Reader // nil while no stream is open
}

func (r *receiver) run(ctx context.Context, m *meter, begun time.Time) error {
	defer m.flush()
	defer r.rest()
	for failures := 0; ; {
		err := r.receive(ctx, m, begun)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			failures = 0
			continue
		}
		code, passes := passing(err)
		if failures++; !passes || failures == maxFailures {
			return err
		}
		m.fail(time.Now(), code)
		if err := pause(ctx, failurePause); err != nil {
			return err
		}
	}
}

// receive waits for what comes next, and notes how long it took to come. What is measured is what was sent in the time that is
// measured, however late it comes.
func (r *receiver) receive(ctx context.Context, m *meter, begun time.Time) error {
	from := r.next.Load()
	receive := r.poll
	if r.streams {
		receive = r.event
	}
	next, err := receive(ctx, from)
	if err != nil {
		return err
	}
	now, rest := time.Now(), r.answer
	for range next - from {
		at := bytes.Index(rest, []byte(memberMessage))
		stamp, ok := integerAt(rest[:min(len(rest), at+len(memberMessage)+stampDigits)], at, memberMessage)
		if !ok {
			return fmt.Errorf("a message without the time of its sending: %s", excerpt(rest))
		}
		sent := begun.Add(time.Duration(stamp))
		m.add(sent, now.Sub(sent), work{messages: 1, bytes: int64(r.payload)})
		rest = rest[at+len(memberMessage):]
	}
	r.next.Store(next)
	return nil
}

// poll asks for what comes next, and returns the offset after it.
func (r *receiver) poll(ctx context.Context, from int64) (next int64, err error) {
	path := "/topics/" + r.topic + "/messages?limit=1000&wait=" + strconv.Itoa(pollSeconds) + "&offset=" + strconv.FormatInt(from, 10)
	r.request = requestHead(r.request[:0], http.MethodGet, path, r.conn, 0)
	if err := r.ask(ctx); err != nil {
		return 0, err
	}
	next, ok := lastInteger(r.answer, memberNextOffset)
	if !ok {
		return 0, fmt.Errorf("%w: %s", errNoSuchAnswer, excerpt(r.answer))
	}
	_, err = messagesIn(r.answer, from, next)
	return next, err
}
