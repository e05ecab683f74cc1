package service

import (
	"context"
	"errors"
	"time"
)

// A reader that takes slowly what it is sent holds the messages that it is being sent. Each holds little, but there may
// be many of them: so all streams together are given no more than Limits.StreamBytes. One that has something to
// tell first takes its share, and gives it back when its reader asks for more, so streams that wait for news hold
// nothing. Those that wait for their share get it in turn: a slow reader is cut off at its deadline, and a quick one
// is gone at once.

// take takes a share, and waits for it, for at most wait. ok is false where that was not enough. waited is
// 0 where it did not need to wait.
func (s *Stream) take(ctx context.Context, wait time.Duration) (waited time.Duration, ok bool, err error) {
	b := s.broker
	if b.streaming.TryAcquire(s.need) {
		s.share = s.need
		return 0, true, nil
	}
	if wait <= 0 {
		return 0, false, nil
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer b.WhenClosing(cancel)()
	if err := b.streaming.Acquire(limited, s.need); err != nil {
		switch {
		case b.isClosing():
			return 0, false, errClosed
		case ctx.Err() != nil:
			return 0, false, ErrUnavailable.Because(context.Cause(ctx))
		}
		return 0, false, nil
	}
	s.share = s.need
	return max(1, time.Since(began)), true, nil
}

// giveBack gives the share back.
func (s *Stream) giveBack() {
	s.broker.streaming.Release(s.share)
	s.share = 0
}

// errShare says that the messages are larger than the share of their stream.
var errShare = errors.New("the share is too small")

// fits makes the share of a stream as large as what it is given. A message that is larger than a page may need more
// than is left. Then nothing is given: to wait for the rest while the share is held, as others may, would be to wait for
// ever. The share is given back, and a larger one taken in its turn.
func (s *Stream) fits(messages []Message) error {
	size := messageBytes(messages)
	if more := size - s.share; more > 0 {
		if !s.broker.streaming.TryAcquire(more) {
			s.need = size
			return errShare
		}
		s.share = size
	}
	s.need = streamBytes
	return nil
}

func messageBytes(messages []Message) (sum int64) {
	for i := range messages {
		sum += messages[i].Size()
	}
	return sum
}
