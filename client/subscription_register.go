package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// register makes one topic's registration and sets the position to begin with.
func (s *subscription) register(ctx context.Context) error {
	position, given := s.cfg.offsets[s.topic]
	from, err := s.from(ctx, given)
	if err != nil {
		return err
	}
	request := wire.RegisterConsumerRequest{Topic: s.topic, From: &from}
	if s.cfg.name != "" {
		request.ConsName = &s.cfg.name
	}
	if given {
		request.From = nil // it is set below; From need not even be valid in this topic
	}
	r, err := retry(ctx, s.client, s.cfg.name != "", func(ctx context.Context) (*wire.RegisterConsumerResult, error) {
		return exchange(ctx, s.client, operation{name: "register consumer", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.RegisterConsumer(ctx, request)
			},
			func(r *wire.RegisterConsumerResult) error {
				if r.Incarnation == "" {
					return errors.New("the incarnation is missing")
				}
				return answered(r.Status)
			})
	})
	if err != nil {
		return err
	}
	s.id, s.incarnation, s.registered = r.ConsumerID, r.Incarnation, true
	s.moved(r.Offset)
	if !given {
		return nil
	}
	if position.Incarnation != "" && position.Incarnation != r.Incarnation {
		return &Error{
			Op: "register consumer", Code: string(wire.FailureCodeIncarnationChanged),
			Message: "the position belongs to another history of the topic", Incarnation: r.Incarnation,
		}
	}
	if position.Offset == r.Offset {
		return nil
	}
	return s.setOffset(ctx, position.Offset)
}

// from is where to register. A registration knows no times, so one is looked up first.
func (s *subscription) from(ctx context.Context, given bool) (string, error) {
	if _, isTime := s.cfg.from.time(); !isTime || given {
		return string(s.cfg.from), nil
	}
	page, err := s.client.Read(ctx, s.topic, ReadOptions{From: s.cfg.from, MaxMessages: 1})
	return string(At(page.offset())), err
}

// unregister ends the registration. A repeat is harmless, for ids are never used again.
func (s *subscription) unregister(ctx context.Context) error {
	if !s.registered {
		return nil
	}
	request := wire.UnregisterConsumerRequest{Topic: s.topic, ConsumerID: s.id}
	_, err := retry(ctx, s.client, true, func(ctx context.Context) (*wire.UnregisterConsumerResult, error) {
		return exchange(ctx, s.client, operation{name: "unregister consumer", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.UnregisterConsumer(ctx, request)
			},
			func(r *wire.UnregisterConsumerResult) error { return answered(r.Status) })
	})
	if errors.Is(err, ErrConsumerNotFound) || errors.Is(err, ErrTopicNotFound) {
		return nil // gone is gone
	}
	return err
}
