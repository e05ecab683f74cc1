package client

import (
	"context"
	"errors"

	"github.com/topiq/topiq/gen/wire"
)

// Commit makes the position of every topic durable: when it returns nil, a later consumer of this name begins
// no earlier. Every message that Poll and Messages have handed out counts as processed; of Run, those whose
// handler has returned nil. Without Commit, positions are told to the broker with the next poll, and the last
// second of them may be lost with the broker. It may be called at any time, also from a handler; beside a Seek,
// the one waits for the other.
//
// Positions only move forward: [ErrOffsetBehind] says that somebody else uses the same name and is further on.
// For a topic that has ended, Commit does nothing and returns the error that ended it.
func (s *Consumer) Commit(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return s.each(func(sub *subscription) error { return sub.commit(ctx, true) })
}

// Position is where a topic stands: the offset of the first message that does not count as processed, see
// Poll, Messages and Run. It is that of the topic's incarnation when the consumer was registered. False if
// the topic is not one of the consumer's.
func (s *Consumer) Position(topic string) (Position, bool) {
	sub, err := s.find(topic)
	if err != nil {
		return Position{}, false
	}
	return Position{Offset: sub.position(), Incarnation: sub.incarnation}, true
}

// Seek sets the position of a topic, forward or back; −1 is the first message still stored. It is durable
// when Seek returns nil, and the next message that is handed out is the one at offset. Seek also ends the
// stop of a topic that was refused with [ErrOffsetTrimmed], [ErrOffsetOutOfRange] or [ErrOffsetBehind].
//
// A poll that the broker handles after the Seek would move the consumer to where it was before. So Seek lets a
// poll end that was sent less than a second ago. If the broker takes longer than that to read it, the next poll
// notices and sets the position again; only a consumer that dies before goes on at the old position. One that
// begins with [Offsets] does not depend on it.
//
// Errors: [ErrBusy] while Poll or Run is under way; [ErrOffsetTrimmed] and [ErrOffsetOutOfRange] for a
// position outside the topic; and any refusal.
func (s *Consumer) Seek(ctx context.Context, topic string, offset int64) error {
	sub, err := s.find(topic)
	if err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	release, err := sub.reserve(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := sub.calm(ctx); err != nil {
		return err
	}
	failure := sub.failure()
	mends := errors.Is(failure, ErrOffsetTrimmed) || errors.Is(failure, ErrOffsetOutOfRange) ||
		errors.Is(failure, ErrOffsetBehind)
	if failure != nil && !mends {
		return failure
	}
	return sub.named(sub.setOffset(ctx, offset))
}

// setOffset moves the consumer. It may be repeated: nobody consumes with this id in between.
func (s *subscription) setOffset(ctx context.Context, offset int64) error {
	r, err := s.requestOffset(ctx, offset)
	if err != nil {
		return err
	}
	s.moved(r)
	return nil
}

func (s *subscription) requestOffset(ctx context.Context, offset int64) (int64, error) {
	s.unanswered.sent(offset)
	r, err := s.client.setOffset(ctx, wire.SetOffsetRequest{Topic: &s.topic, ConsumerID: s.id, Offset: &offset})
	s.unanswered.heard(offset, err)
	return r, err
}

// commit tells the broker the position, if it has moved since the last time that the broker stored it.
//
// First by a consume, which the broker refuses with offset_behind if the stored position is further on: a
// set_offset alone would pull a successor of the same name back. The broker may write a consume's position up
// to a second later; durable asks for more, and sets the offset in addition.
func (s *subscription) commit(ctx context.Context, durable bool) error {
	release, err := s.reserve(ctx)
	if err != nil {
		return s.named(err)
	}
	defer release()
	switch failure := s.failure(); {
	case failure != nil && durable:
		return failure
	case failure != nil:
		return nil // the caller was told, and the broker would refuse this as well
	}
	if durable {
		s.settle()
	}
	offset, err := s.tell(ctx)
	if err != nil || !durable || offset < 0 {
		return s.named(err)
	}
	if _, err := s.requestOffset(ctx, offset); err != nil {
		return s.named(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = max(s.durable, offset)
	return nil
}

// tell sends the position with a consume and returns it; −1 if the broker has stored it for good already.
func (s *subscription) tell(ctx context.Context) (int64, error) {
	for {
		s.mu.Lock()
		offset, stored := s.done, s.durable
		s.mu.Unlock()
		if offset <= stored {
			return -1, nil
		}
		_, err := retry(ctx, s.client, true, func(ctx context.Context) ([]Message, error) {
			return s.consume(ctx, offset, 1, 1, 0)
		})
		// Run may have gone on and polled from a later position before this request arrived: then it was we
		// who are further on.
		e := asError(err)
		ourselves := errors.Is(err, ErrOffsetBehind) && e.Offset != nil && *e.Offset <= s.position()
		if err == nil || !ourselves || s.position() == offset {
			return offset, err
		}
	}
}
