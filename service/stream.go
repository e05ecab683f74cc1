package service

import (
	"context"
	"errors"
	"time"
)

// What a stream reads at a time, of which at least one message. It bounds the memory of a reader that
// takes slowly what it is sent.
const (
	streamMessages = 1000
	streamBytes    = 64 << 10
)

// StreamRequest asks for the messages of a topic from an offset on, without an end. A pure read:
// nothing moves (P11).
type StreamRequest struct {
	Topic  TopicName
	Offset Offset
	// Incarnation is compared unless it is "".
	Incarnation string
	// Resumes says that the reader has had all before Offset by an earlier stream, which was cut. What
	// was trimmed behind it is then told by an event, as that stream would have told it, and not
	// refused.
	Resumes bool
}

// StreamKind is what a StreamEvent tells.
type StreamKind int

// The kinds of events.
const (
	// StreamIdle: there was nothing to tell for as long as the caller wanted to wait.
	StreamIdle StreamKind = iota
	// StreamMessages: the messages that come next.
	StreamMessages
	// StreamCaughtUp: a head that was read from the store after the stream was opened ends at Next,
	// and all before it was told (P12). It comes once at each end of the topic that is reached.
	StreamCaughtUp
	// StreamTrimmed: the messages before Next were trimmed before they could be told. The stream goes
	// on at Next; to leave them out without a word would break P11.
	StreamTrimmed
)

// StreamEvent is what a stream tells.
type StreamEvent struct {
	Kind     StreamKind
	Messages []Message // of StreamMessages, at consecutive offsets
	Next     Offset    // where the stream goes on
}

// Stream is the way of one reader through a topic. It is for one goroutine, needs none of its own, and
// holds nothing of the store while it waits. Close it in the end.
type Stream struct {
	broker      *Broker
	topic       TopicName
	incarnation string
	next        Offset
	pace        *pace // of the token of the reader, nil if it has none

	// view is the topic as it was looked at last, and lookedAt when. view.topic is nil if it has to be
	// looked at anew.
	view     view
	lookedAt time.Time
	// share is how much of what all streams may be given this one has, need how much it takes the next time.
	share, need int64
	// atEnd says that the end which view shows was told: nothing is left but to wait for news of it.
	atEnd bool
}

// Stream opens a stream. It takes a place among those who wait, for as long as it is open. Errors:
// invalid_request, topic_not_found, incarnation_changed, offset_trimmed, offset_out_of_range,
// overloaded, unavailable.
func (b *Broker) Stream(ctx context.Context, r StreamRequest) (*Stream, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	err := errors.Join(CheckName("topic", r.Topic), checkInteger("offset", r.Offset, 0), checkToken("incarnation", r.Incarnation))
	if err != nil {
		return nil, err
	}
	if !b.waiters.take(0) {
		return nil, ErrOverloaded
	}
	s := &Stream{
		broker: b, topic: r.Topic, incarnation: r.Incarnation, next: r.Offset, pace: grantIn(ctx).paceOf(),
		need: streamBytes,
	}
	err = s.look(ctx)
	if err == nil {
		// A nil *Error in an error would be one.
		if refusal := CheckOffset(s.next, s.view.head); refusal != nil && (refusal.Code != CodeOffsetTrimmed || !r.Resumes) {
			err = refusal
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the stream.
func (s *Stream) Close() {
	s.forget()
	s.giveBack()
	s.broker.waiters.give(0)
}

// Incarnation is that of the topic, and of everything that the stream tells.
func (s *Stream) Incarnation() string { return s.incarnation }

// Next returns what comes next, and waits for it, for at most wait. What it returned before has gone out by then: it
// makes room for what others are given. With an error the stream has ended:
// topic_not_found, incarnation_changed, offset_out_of_range, internal, overloaded, or unavailable, also
// when the broker shuts down or ctx ends.
func (s *Stream) Next(ctx context.Context, wait time.Duration) (StreamEvent, error) {
	b := s.broker
	if err := b.enter(); err != nil {
		return StreamEvent{}, err
	}
	defer b.leave()
	s.giveBack()
	for {
		// A stream is not refused for what its token has had: it waits, and gets no more meanwhile.
		if owed := s.pace.owed(time.Now()); owed > 0 {
			s.giveBack()
			if err := b.rest(ctx, min(owed, wait)); err != nil || owed >= wait {
				return StreamEvent{}, err
			}
			wait -= owed
		}
		if err := s.look(ctx); err != nil {
			return StreamEvent{}, err
		}
		if s.share == 0 && s.next < s.view.head.Next {
			waited, ok, err := s.take(ctx, wait)
			if err != nil || !ok {
				return StreamEvent{}, err
			}
			if wait -= waited; waited > 0 {
				continue // what was looked at is old by now
			}
		}
		event, err := s.step(ctx)
		if errors.Is(err, errShare) {
			s.giveBack()
			continue
		}
		if err != nil || event.Kind != StreamIdle {
			return event, err
		}
		s.giveBack()
		left, err := b.doze(ctx, &s.view, wait)
		if err != nil {
			return StreamEvent{}, err
		}
		if left <= 0 {
			if b.isClosing() {
				return StreamEvent{}, errClosed
			}
			return StreamEvent{}, nil
		}
		wait = left
		s.forget()
	}
}

// rest waits for a time, while the broker is not closing.
func (b *Broker) rest(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.closing:
		return errClosed
	case <-ctx.Done():
		return ErrUnavailable.Because(context.Cause(ctx))
	}
}

// look makes sure that view may be gone by. At its end, it may as long as nobody closes its channel,
// which was taken before its head was read. Before, only for as long as an incarnation is trusted: a
// reader that takes slowly what it is sent may come back to it much later (P12).
func (s *Stream) look(ctx context.Context) error {
	if s.view.topic != nil && (s.atEnd || time.Since(s.lookedAt) < trusted) {
		return nil
	}
	s.forget()
	lookedAt := time.Now()
	v, err := s.broker.look(ctx, s.topic)
	if err != nil {
		return err
	}
	if s.incarnation == "" {
		s.incarnation = v.head.Incarnation
	}
	if v.head.Incarnation != s.incarnation {
		v.release()
		return errIncarnation(v.head.Incarnation)
	}
	// The end is told once, also if somebody was woken for nothing.
	s.view, s.lookedAt, s.atEnd = v, lookedAt, s.atEnd && s.next == v.head.Next
	return nil
}

// forget lets go of the view.
func (s *Stream) forget() {
	if s.view.topic != nil {
		s.view.release()
		s.view = view{}
	}
}

// step tells what view has for the reader, StreamIdle if it is at the end and knows it.
func (s *Stream) step(ctx context.Context) (StreamEvent, error) {
	if refusal := CheckOffset(s.next, s.view.head); refusal != nil {
		return s.refused(refusal)
	}
	if s.next < s.view.head.Next {
		l := s.broker.limits
		window := window{min(streamMessages, l.ReadMessages), min(streamBytes, l.ReadBytes)}
		messages, err := s.broker.fetch(ctx, &s.view, cursor{s.next, window})
		if err != nil {
			return s.refused(err) // it may have been trimmed since it was looked at
		}
		if err := s.fits(messages); err != nil {
			return StreamEvent{}, err
		}
		s.pace.gave(messages)
		s.next += Offset(len(messages))
		s.atEnd = false
		return StreamEvent{StreamMessages, messages, s.next}, nil
	}
	if !s.atEnd {
		s.atEnd = true
		return StreamEvent{Kind: StreamCaughtUp, Next: s.next}, nil
	}
	return StreamEvent{}, nil
}

// refused goes on behind what was trimmed, and says so. Any other refusal ends the stream.
func (s *Stream) refused(err error) (StreamEvent, error) {
	refusal := (*Error)(nil)
	if !errors.As(err, &refusal) || refusal.Code != CodeOffsetTrimmed || refusal.Facts.FirstOffset == nil {
		return StreamEvent{}, err
	}
	s.next, s.atEnd = Offset(*refusal.Facts.FirstOffset), false
	s.forget()
	return StreamEvent{Kind: StreamTrimmed, Next: s.next}, nil
}
