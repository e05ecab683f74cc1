package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// subscription is one topic of a consumer.
type subscription struct {
	client      *Client
	cfg         *consumerConfig
	topic       string
	id          int64
	incarnation string
	registered  bool

	// Of fetch alone, which never runs twice at a time.
	polled   time.Time // when the last poll began
	empty    bool      // it found nothing
	failures int       // polls failed since the last one answered
	feed     *feed     // in place of polls; nil without the option Stream
	told     int64     // the position that the broker was told beside a stream
	toldAt   time.Time // when

	moving     chan struct{} // holds a token while Commit, Close or Seek sets the position
	unanswered unanswered

	mu      sync.Mutex
	done    int64     // everything below is processed
	handed  int64     // everything below was handed out; done ≤ handed
	durable int64     // the highest position that the broker has stored for good
	ready   []Message // fetched and not handed out; the first one is at handed
	err     error     // this topic has ended
	round   bool      // the poll of this round was answered
	stop    context.CancelFunc
	stopped chan struct{} // closed when the poll under way has ended; nil if none is
}

// moved sets the position after a register or a seek.
func (s *subscription) moved(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.handed, s.durable = offset, offset, offset
	s.ready, s.err = nil, nil
}

// position is the offset of the first message that is not processed.
func (s *subscription) position() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// settle counts everything that was handed out as processed.
func (s *subscription) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = s.handed
}

// processed notes that the handler of Run is done with a message.
func (s *subscription) processed(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.handed = m.Offset+1, m.Offset+1
}

// named adds the topic to an error.
func (s *subscription) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("topic %s: %w", s.topic, err)
}

// reserve takes the position for one who sets it, so that no other one sets it at the same time. It is given
// back with release.
func (s *subscription) reserve(ctx context.Context) (release func(), err error) {
	select {
	case s.moving <- struct{}{}:
		return func() { <-s.moving }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// failed ends the topic.
func (s *subscription) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *subscription) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// take hands out what is there, at most n messages.
func (s *subscription) take(n int) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.ready))
	messages := s.ready[:n:n]
	s.ready = s.ready[n:]
	s.handed += int64(n)
	return messages
}

// leftover hands over what is left of earlier polls, without counting it as handed out.
func (s *subscription) leftover() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := s.ready
	s.ready = nil
	return messages
}

// returned takes back what was not processed, so that it is fetched again.
func (s *subscription) returned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handed, s.ready = s.done, nil
}

// halt ends the poll under way, if there is one. It loses nothing: the poll moved nothing.
func (s *subscription) halt() {
	s.mu.Lock()
	stop, stopped := s.stop, s.stopped
	s.mu.Unlock()
	if stopped != nil {
		stop()
		<-stopped
	}
}

// fetch polls the topic until a poll is answered, and returns the messages, perhaps none. Passing failures
// are waited out: the next poll asks from the same offset, so nothing is skipped or repeated. It returns an
// error that lasts, or that of ctx.
func (s *subscription) fetch(ctx context.Context) ([]Message, error) {
	for {
		interval := s.cfg.pollTime
		if s.empty {
			interval = max(interval, minPollTime)
		}
		if !s.polled.IsZero() {
			if err := sleep(ctx, time.Until(s.polled.Add(interval))); err != nil {
				return nil, err
			}
		}
		s.polled = time.Now()
		messages, err := s.receive(ctx)
		if err == nil {
			s.failures, s.empty = 0, len(messages) == 0
			return messages, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := asError(err)
		if !e.passing {
			return nil, s.named(err)
		}
		s.failures++
		s.client.log.WarnContext(ctx, "topiq: poll failed; trying again", "topic", s.topic, "error", err)
		pause := s.client.retry.pause(s.failures, e)
		if s.cfg.pollTimeAfterError > 0 {
			pause = max(s.cfg.pollTimeAfterError, min(e.RetryAfter, maxRetryAfter))
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		s.polled = time.Time{} // the pause stands for the one between polls
	}
}

// consume asks for the messages from an offset on. It also tells the broker that everything below is
// processed; the broker refuses to go back.
func (s *subscription) consume(
	ctx context.Context, offset int64, limit, maxBytes int, wait time.Duration,
) ([]Message, error) {
	request := wire.ConsumeRequest{
		Topic: s.topic, ConsumerID: s.id, Offset: &offset, Incarnation: &s.incarnation,
	}
	if limit > 0 {
		n := int64(limit)
		request.Limit = &n
	}
	if maxBytes > 0 {
		n := int64(maxBytes)
		request.MaxBytes = &n
	}
	if seconds := int64(wait / time.Second); seconds > 0 {
		request.Wait = &seconds
	}
	var messages []Message
	// It changes nothing that a repeat would not change in the same way, so its outcome is never in doubt.
	_, err := exchange(ctx, s.client, operation{name: "consume", wait: wait},
		func(ctx context.Context, to *broker) (*http.Response, error) {
			s.unanswered.sent(offset)
			return to.ConsumePost(ctx, request)
		},
		func(r *wire.ConsumeResult) (err error) {
			messages, err = s.decode(offset, r)
			return err
		})
	s.unanswered.heard(offset, err)
	late, ok := s.overtaken(err)
	if !ok {
		return messages, err
	}
	// It is we who are further on, by mistake: the position that Seek has set is set again.
	if _, err := s.requestOffset(ctx, offset); err != nil {
		return nil, err
	}
	s.unanswered.heard(late, nil) // once: the next time it is somebody else
	return s.consume(ctx, offset, limit, maxBytes, wait)
}

// decode checks that an answer continues at the offset, without a gap and in the same history, before
// anything of it is handed out.
func (s *subscription) decode(offset int64, r *wire.ConsumeResult) ([]Message, error) {
	if err := answered(r.Status); err != nil {
		return nil, err
	}
	if r.Incarnation != s.incarnation {
		return nil, fmt.Errorf("the incarnation %q was sent and %q answered", s.incarnation, r.Incarnation)
	}
	if r.Messages == nil {
		return nil, errors.New("messages is missing")
	}
	messages, err := decodeMessages(s.topic, offset, r.Messages)
	if err != nil {
		return nil, err
	}
	if r.Offset != offset+int64(len(messages)) {
		return nil, fmt.Errorf("%d messages from %d lead to offset %d", len(messages), offset, r.Offset)
	}
	return messages, nil
}
