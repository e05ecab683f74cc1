package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Handler is called with one message at a time per topic; see [Consumer.Run].
type Handler func(ctx context.Context, m Message) error

// Run polls all topics in parallel and calls handle for each message: in order within a topic, at the same
// time for different topics, so handle must be safe for concurrent use if there are several.
//
// A message counts as processed when handle has returned nil for it; the position is told to the broker with
// the next poll of the topic, with Commit and with Close. An error of handle ends Run: the contexts of the
// other handlers end, and Run returns when all have returned. A later Run begins with the message that
// failed.
//
// Run returns nil after the time of the option Timeout without a message, the error of ctx, [ErrClosed],
// [ErrBusy], the error of a handler with the topic and offset of its message, or what ends a consumer, see
// [Consumer]. Several errors are joined.
func (s *Consumer) Run(ctx context.Context, handle Handler) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	for _, sub := range s.subs {
		sub.halt()
	}
	if err := s.settle(); err != nil {
		return err
	}
	s.since = time.Time{}

	runCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watch := newIdleWatch(s.cfg.timeout, stop)
	defer watch.end()
	errs := make([]error, len(s.subs))
	var group sync.WaitGroup
	for i, sub := range s.subs {
		group.Go(func() {
			if errs[i] = sub.run(runCtx, handle, watch); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	group.Go(func() { // Close ends Run
		select {
		case <-s.closing:
			stop(ErrClosed)
		case <-runCtx.Done():
		}
	})
	group.Wait()
	first := context.Cause(runCtx)
	if err := ctx.Err(); err != nil && errors.Is(first, context.Cause(ctx)) {
		first = err
	}
	return runError(ctx, first, errs)
}

// runError tells why Run ended: by the first reason, and by what else went wrong until all had stopped.
func runError(ctx context.Context, first error, errs []error) error {
	if errors.Is(first, ErrTimeout) {
		first = nil
	}
	all := []error{first}
	for _, err := range errs {
		stopped := errors.Is(err, context.Canceled) || (ctx.Err() != nil && errors.Is(err, ctx.Err()))
		if err != nil && err != first && !stopped { //nolint:errorlint // the very same value
			all = append(all, err)
		}
	}
	if len(all) == 1 {
		return first
	}
	return errors.Join(all...)
}

// run handles one topic until something lasting fails or ctx ends.
func (s *subscription) run(ctx context.Context, handle Handler, watch *idleWatch) error {
	defer s.returned()
	defer s.feed.close()
	for {
		messages := s.leftover()
		if len(messages) == 0 {
			var err error
			messages, err = s.fetch(ctx)
			if err != nil {
				if ctx.Err() == nil {
					s.failed(err)
				}
				return err
			}
		}
		if len(messages) == 0 {
			continue
		}
		watch.work()
		err := s.handle(ctx, messages, handle)
		watch.idle()
		if err != nil {
			return err
		}
	}
}

func (s *subscription) handle(ctx context.Context, messages []Message, handle Handler) error {
	for i := range messages {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &messages[i]
		if err := s.process(ctx, m, handle); err != nil {
			return fmt.Errorf("topic %s, offset %d: %w", m.Topic, m.Offset, err)
		}
		s.processed(m)
	}
	return nil
}

// idleWatch ends Run when no topic had a message for so long. While messages are handled, its clock stands.
type idleWatch struct {
	timeout time.Duration
	timer   *time.Timer

	mu   sync.Mutex
	busy int // topics whose messages are being handled
}

func newIdleWatch(timeout time.Duration, stop context.CancelCauseFunc) *idleWatch {
	w := &idleWatch{timeout: timeout}
	if timeout > 0 {
		w.timer = time.AfterFunc(timeout, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			// A batch may have arrived while this function was about to start.
			if w.busy == 0 {
				stop(ErrTimeout)
			}
		})
	}
	return w
}

func (w *idleWatch) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy++
	w.end()
}

func (w *idleWatch) idle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy--; w.busy == 0 && w.timer != nil {
		w.timer.Reset(w.timeout)
	}
}

func (w *idleWatch) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
