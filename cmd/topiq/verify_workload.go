package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/topiq/topiq/client"
)

// workload is a scenario at work on a broker.
type workload struct {
	history *history
	broker  *client.Client
	prefix  string // of the names of the topics on the broker
	// maxTimeout is the longest wait between two requests of one participant, patience how long a
	// consumer waits for messages of which it is known that they are there.
	maxTimeout, patience time.Duration
	// back tells when the broker was there again after the last kill.
	back func() time.Time

	producers []*producing
	consumers []*consuming
	ended     map[string]*ending
}

// ending is the end of a topic, which is known when its last producer has ended.
type ending struct {
	known  chan struct{} // closed when it is
	offset int64         // then: the first that is not there
}

// pace is the random wait of one participant. Each has its own, so that what it does follows from
// the seed alone, whatever the others do.
type pace struct {
	random *rand.Rand
	max    time.Duration
}

func (w *workload) pace(participant int) pace {
	return pace{rand.New(rand.NewPCG(w.history.seed, uint64(participant))), w.maxTimeout}
}

// wait waits for a random time of at most the longest one.
func (p pace) wait(ctx context.Context) error {
	return pause(ctx, time.Duration(p.random.Int64N(int64(p.max)+1)))
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setUp creates the topics and registers everybody, the consumers first.
func (w *workload) setUp(ctx context.Context) error {
	w.ended = map[string]*ending{}
	for _, t := range w.history.plan.topics {
		w.ended[t.label] = &ending{known: make(chan struct{})} // to be deleted even if the answer is lost
		if err := w.broker.CreateTopic(ctx, w.prefix+t.label); err != nil {
			return err
		}
	}
	for _, plan := range w.history.plan.consumers {
		c, err := w.newConsumer(ctx, plan, client.Name(plan.name))
		if err != nil {
			return err
		}
		w.consumers = append(w.consumers, c)
		w.history.views = append(w.history.views, c.views...)
	}
	for _, t := range w.history.plan.topics {
		for i, name := range t.producers {
			p, err := w.broker.Producer(ctx, w.prefix+t.label, client.Name(name))
			if err != nil {
				return err
			}
			s := &session{topic: t.label, producer: name, planned: share(t.messages, len(t.producers), i)}
			w.history.sessions = append(w.history.sessions, s)
			w.producers = append(w.producers, &producing{s, p, w.history.seed, w.pace(1_000 + len(w.producers))})
		}
	}
	return nil
}

// run lets everybody work, and returns when all have ended. sent is closed when the producers have.
func (w *workload) run(ctx context.Context, sent chan<- struct{}) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var everybody sync.WaitGroup
	for _, c := range w.consumers {
		everybody.Go(func() { c.run(ctx) })
	}
	var topics sync.WaitGroup
	for label, end := range w.ended {
		var producers sync.WaitGroup
		for _, p := range w.producers {
			if p.session.topic == label {
				producers.Go(func() { p.run(ctx) })
			}
		}
		topics.Go(func() {
			producers.Wait()
			if err := w.end(ctx, label, end); err != nil {
				giveUp(fmt.Errorf("the end of %s could not be found: %s", label, oneLine(err)))
			}
		})
	}
	topics.Wait()
	close(sent)
	everybody.Wait()
	return context.Cause(ctx)
}

// end tells the consumers where a topic ends.
func (w *workload) end(ctx context.Context, label string, end *ending) error {
	t, err := w.broker.DescribeTopic(ctx, w.prefix+label)
	if err != nil {
		return err
	}
	end.offset = t.NextOffset
	close(end.known)
	return nil
}

// lookAgain describes every topic and reads all of it from its beginning, as somebody who was not
// there before.
func (w *workload) lookAgain(ctx context.Context) error {
	w.history.ends = map[string]client.Topic{}
	plan := consumerPlan{name: finalReader}
	for _, t := range w.history.plan.topics {
		topic, err := w.broker.DescribeTopic(ctx, w.prefix+t.label)
		if err != nil {
			return err
		}
		w.history.ends[t.label] = topic
		w.ended[t.label].offset = topic.NextOffset
		plan.topics = append(plan.topics, t.label)
	}
	reader, err := w.newConsumer(ctx, plan)
	if err != nil {
		return err
	}
	reader.pace.max = 0
	w.history.final = reader.views
	reader.run(ctx)
	return context.Cause(ctx)
}

// cleanUp deletes the topics.
func (w *workload) cleanUp(ctx context.Context) error {
	if len(w.ended) == 0 {
		return nil
	}
	// Whether there is a broker is asked only once, for one that has ended is not coming back.
	if err := w.broker.Ready(ctx); err != nil {
		return fmt.Errorf("the topics %s* are left behind: %s", w.prefix, oneLine(err))
	}
	var errs []error
	for label := range w.ended {
		if err := w.broker.DeleteTopic(ctx, w.prefix+label); err != nil && !errors.Is(err, client.ErrTopicNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
