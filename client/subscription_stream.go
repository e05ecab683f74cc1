package client

import (
	"context"
	"errors"
	"time"
)

// tellTime is how often a consumer that reads by a stream tells the broker where it is.
const tellTime = time.Second

// receive gets the next messages, by one poll or from the stream; none if there were none for the time of the
// option Wait.
func (s *subscription) receive(ctx context.Context) ([]Message, error) {
	if s.feed == nil || s.feed.absent() {
		return s.poll(ctx)
	}
	for deadline := time.Now().Add(s.cfg.wait); ; {
		if err := s.report(ctx); err != nil {
			return nil, err
		}
		position := s.position()
		wait := time.Until(deadline)
		if position != s.told {
			wait = min(wait, time.Until(s.toldAt.Add(tellTime)))
		}
		messages, err := s.feed.next(ctx, Position{Offset: position, Incarnation: s.incarnation}, max(wait, 0))
		if errors.Is(err, errNoStreams) {
			return s.poll(ctx)
		}
		if err != nil || len(messages) > 0 || !time.Now().Before(deadline) {
			return messages, err
		}
	}
}

func (s *subscription) poll(ctx context.Context) ([]Message, error) {
	return s.consume(ctx, s.position(), s.cfg.maxMessages, s.cfg.maxBytes, s.cfg.wait)
}

// report tells the broker the position, which a stream does not. It goes by a consume like that of a poll, so
// the broker says if somebody else uses the name and is further on. A failure that passes is made good by the
// next report.
func (s *subscription) report(ctx context.Context) error {
	position := s.position()
	if position == s.told || time.Since(s.toldAt) < tellTime {
		return nil
	}
	s.toldAt = time.Now()
	_, err := s.consume(ctx, position, 1, 1, 0)
	switch {
	case err == nil:
		s.told = position
	case ctx.Err() != nil:
		return ctx.Err()
	case asError(err).passing:
		s.client.log.DebugContext(ctx, "topiq: the position was not told; trying again", "topic", s.topic, "error", err)
	default:
		return err
	}
	return nil
}
