package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// ConsumerState is what the broker says about a consumer.
type ConsumerState struct {
	ID       int64
	Name     string    // empty if it has none
	Offset   int64     // of the message that it gets next
	Lag      int64     // how many stored messages it has not got yet
	LastSeen time.Time // when the broker heard of it; the zero time if it does not know
}

// ConsumerState answers where the consumer of a name stands. Errors: [ErrTopicNotFound],
// [ErrConsumerNotFound].
func (c *Client) ConsumerState(ctx context.Context, topic, name string) (ConsumerState, error) {
	if err := checkName("cons_name", name); err != nil {
		return ConsumerState{}, err
	}
	return c.consumerState(ctx, wire.DescribeConsumerParams{Topic: topic, ConsName: &name})
}

// ConsumerStateByID answers where a consumer stands that may have no name. Errors: [ErrTopicNotFound];
// [ErrConsumerNotFound], also for a consumer of another topic.
func (c *Client) ConsumerStateByID(ctx context.Context, topic string, id int64) (ConsumerState, error) {
	return c.consumerState(ctx, wire.DescribeConsumerParams{Topic: topic, ConsumerID: &id})
}

func (c *Client) consumerState(ctx context.Context, params wire.DescribeConsumerParams) (ConsumerState, error) {
	if err := checkName("topic", params.Topic); err != nil {
		return ConsumerState{}, err
	}
	r, err := read(ctx, c, "consumer state",
		func(ctx context.Context, to *broker) (*http.Response, error) {
			return to.DescribeConsumer(ctx, &params)
		},
		func(r *wire.ConsumerResult) error { return answered(r.Status) })
	if err != nil {
		return ConsumerState{}, err
	}
	return consumerState(&wire.ConsumerEntry{
		ConsumerID: r.ConsumerID, ConsName: r.ConsName, Offset: r.Offset, Lag: r.Lag, LastSeen: r.LastSeen,
	}), nil
}

func consumerState(in *wire.ConsumerEntry) ConsumerState {
	state := ConsumerState{ID: in.ConsumerID, Name: orEmpty(in.ConsName), Offset: in.Offset, Lag: in.Lag}
	if in.LastSeen != nil {
		state.LastSeen = *in.LastSeen
	}
	return state
}

// Consumers goes through the consumers of a topic in the order of their ids, asking the broker page by page.
// An error ends it, such as [ErrTopicNotFound]. Consumers that come and go meanwhile may or may not be seen.
func (c *Client) Consumers(ctx context.Context, topic string) iter.Seq2[ConsumerState, error] {
	return states(topic, func(after *int64) ([]ConsumerState, *int64, error) {
		params := wire.ListConsumersParams{After: after}
		r, err := read(ctx, c, "list consumers",
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.ListConsumers(ctx, topic, &params)
			},
			func(r *wire.ListConsumersResult) error {
				return errors.Join(answered(r.Status), checkNext(after, r.Next))
			})
		if err != nil {
			return nil, nil, err
		}
		page := make([]ConsumerState, len(r.Consumers))
		for i := range r.Consumers {
			page[i] = consumerState(&r.Consumers[i])
		}
		return page, r.Next, nil
	})
}

// states goes through pages that are sorted by id.
func states[T any](topic string, list func(after *int64) ([]T, *int64, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if err := checkName("topic", topic); err != nil {
			yield(none, err)
			return
		}
		for after := (*int64)(nil); ; {
			page, next, err := list(after)
			if err != nil {
				yield(none, err)
				return
			}
			for _, state := range page {
				if !yield(state, nil) {
					return
				}
			}
			if after = next; after == nil {
				return
			}
		}
	}
}

// checkNext refuses a page that leads to itself, which would never end.
func checkNext(after, next *int64) error {
	if after != nil && next != nil && *next <= *after {
		return fmt.Errorf("the page after %d leads to %d", *after, *next)
	}
	return nil
}

// SetOffset moves a consumer to a position, forward or back, and answers its offset. It is durable when
// SetOffset returns nil. [Client.ConsumerState] tells the id of a name. [End] is what is the end when SetOffset
// begins.
//
// It is for consumers that are not running: one that is keeps its own position, and goes on with it. Use
// [Consumer.Seek] there.
//
// Errors: [ErrTopicNotFound]; [ErrConsumerNotFound]; [ErrOffsetTrimmed] and [ErrOffsetOutOfRange] for a
// position outside the topic.
func (c *Client) SetOffset(ctx context.Context, topic string, id int64, to Start) (int64, error) {
	if err := errors.Join(checkName("topic", topic), to.check("to")); err != nil {
		return 0, err
	}
	request := wire.SetOffsetRequest{Topic: &topic, ConsumerID: id}
	if at, isTime := to.time(); isTime {
		request.Time = &at
		return c.setOffset(ctx, request)
	}
	offset, _ := to.offset()
	switch to {
	case Beginning:
		offset = -1
	case End:
		described, err := c.DescribeTopic(ctx, topic)
		if err != nil {
			return 0, err
		}
		offset = described.NextOffset
	default: // it is an offset
	}
	request.Offset = &offset
	return c.setOffset(ctx, request)
}

// setOffset may repeat the request: nobody consumes with this id in between.
func (c *Client) setOffset(ctx context.Context, request wire.SetOffsetRequest) (int64, error) {
	r, err := retry(ctx, c, true, func(ctx context.Context) (*wire.SetOffsetResult, error) {
		return exchange(ctx, c, operation{name: "set offset", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) { return to.SetOffset(ctx, request) },
			func(r *wire.SetOffsetResult) error {
				if sent := request.Offset; sent != nil && *sent >= 0 && r.Offset != *sent {
					return fmt.Errorf("the offset %d was sent and %d answered", *sent, r.Offset)
				}
				return answered(r.Status)
			})
	})
	if err != nil {
		return 0, err
	}
	return r.Offset, nil
}
