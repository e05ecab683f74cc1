package client

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Poll returns the next messages of all topics that have some: each topic's in order, and as soon as there
// are any. A topic without messages is waited for meanwhile and holds up no other. If one round over all
// topics finds nothing, Poll returns no messages and no error.
//
// The messages of a Poll count as processed with the next call of Poll, Messages or Run, or with Commit; not
// with Close.
//
// Errors: [ErrTimeout] after the time of the option Timeout; [ErrClosed]; [ErrBusy]; that of ctx; and what
// ends a consumer, see [Consumer]. An error comes without messages, and messages that came at the same time
// as an error come first.
func (s *Consumer) Poll(ctx context.Context) ([]Message, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.end()
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	var messages []Message
	for _, sub := range s.subs {
		if ready := sub.take(maxInt); len(messages) == 0 {
			messages = ready
		} else {
			messages = append(messages, ready...)
		}
	}
	s.received(len(messages))
	return messages, nil
}

const maxInt = int(^uint(0) >> 1)

// Messages goes through the messages of all topics: each topic's in order, the topics by turns. An error
// ends it, as does the time of the option Timeout, which is no error here.
//
// A message counts as processed when the loop asks for the next one, or with Commit; so one that the loop
// is left with does not, until Poll, Messages or Run is called again.
func (s *Consumer) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := s.next(ctx)
			if errors.Is(err, ErrTimeout) {
				return
			}
			if err != nil {
				yield(Message{}, err)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// next returns one message.
func (s *Consumer) next(ctx context.Context) (Message, error) {
	if err := s.begin(); err != nil {
		return Message{}, err
	}
	defer s.end()
	for {
		if err := s.await(ctx); err != nil {
			return Message{}, err
		}
		for range s.subs {
			s.turn = (s.turn + 1) % len(s.subs)
			if messages := s.subs[s.turn].take(1); len(messages) > 0 {
				s.received(1)
				return messages[0], nil
			}
		}
	}
}

// received restarts the clock of Timeout. It runs again from the next call on.
func (s *Consumer) received(n int) {
	if n > 0 {
		s.since = time.Time{}
	}
}

// await makes sure that every topic is polled, and waits until one has messages or has ended, or until all
// were answered once.
func (s *Consumer) await(ctx context.Context) error {
	if err := s.settle(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, sub := range s.subs {
		s.poll(ctx, sub)
	}
	timeout := s.timeout()
	defer timeout.Stop()
	for {
		if over, err := s.roundOver(); over || err != nil {
			return err
		}
		select {
		case <-s.answered:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		case <-timeout.C:
			return ErrTimeout
		}
	}
}

// settle counts everything that was handed out as processed: the caller has come back for more. It returns
// the error of a topic that has ended.
func (s *Consumer) settle() (err error) {
	for _, sub := range s.subs {
		sub.settle()
		if err == nil {
			err = sub.failure()
		}
	}
	return err
}

// timeout is a timer for what is left of the time without a message. Without the option it never fires.
func (s *Consumer) timeout() *time.Timer {
	if s.cfg.timeout == 0 {
		timer := time.NewTimer(0)
		timer.Stop()
		return timer
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return time.NewTimer(time.Until(s.since.Add(s.cfg.timeout)))
}

// roundOver reports whether there is something to return.
func (s *Consumer) roundOver() (over bool, err error) {
	over = true
	for _, sub := range s.subs {
		sub.mu.Lock()
		ready, failure, round := len(sub.ready) > 0, sub.err, sub.round
		sub.mu.Unlock()
		if ready {
			return true, nil // an error of another topic is told by the next call
		}
		if err == nil {
			err = failure
		}
		over = over && round
	}
	return over, err
}

// poll starts a poll of a topic in the background, unless one is under way or messages are left. It outlives
// the call that started it: cancelling a long poll only because another topic had a message would be waste.
func (s *Consumer) poll(ctx context.Context, sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // Close has halted the polls, or will; it must not miss one
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.round = false
	if sub.stopped != nil || len(sub.ready) > 0 {
		return
	}
	ctx, sub.stop = context.WithCancel(context.WithoutCancel(ctx))
	stop, stopped := sub.stop, make(chan struct{})
	sub.stopped = stopped
	s.polls.Go(func() {
		defer close(stopped)
		defer stop()
		messages, err := sub.fetch(ctx)
		sub.mu.Lock()
		sub.stopped, sub.round = nil, true
		switch {
		case ctx.Err() != nil:
			// Halted; what it found is asked for again.
		case err != nil:
			sub.err = err
		default:
			sub.ready = messages
		}
		sub.mu.Unlock()
		select {
		case s.answered <- struct{}{}:
		default:
		}
	})
}
