package client

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// ProducerState is what the broker says about a producer. Of one without a name only the ID means something.
type ProducerState struct {
	ID      int64
	Name    string // empty if it has none
	Epoch   int64  // the number of its session; −1 without a name
	NextSeq int64  // the seq of the next message; [NoSeq] without a name
	// LastOffset is that of the last message with a seq; [NoOffset] if there is none. [Client.Producers]
	// does not tell it, and has NoOffset for all.
	LastOffset int64
	Count      int64 // messages ever stored under the name in this topic, trimmed ones included
}

// ProducerState answers where the producer of a name stands, without opening a session: a living one is not
// fenced. What NextSeq covers is stored durably, so a program may forget it. Errors: [ErrTopicNotFound],
// [ErrProducerNotFound].
func (c *Client) ProducerState(ctx context.Context, topic, name string) (ProducerState, error) {
	if err := checkTopicAndName(topic, name); err != nil {
		return ProducerState{}, err
	}
	params := wire.DescribeProducerParams{Topic: topic, ProdName: name}
	r, err := read(ctx, c, "producer state",
		func(ctx context.Context, to *broker) (*http.Response, error) {
			return to.DescribeProducer(ctx, &params)
		},
		func(r *wire.ProducerResult) error { return answered(r.Status) })
	if err != nil {
		return ProducerState{}, err
	}
	return ProducerState{
		ID: r.ProducerID, Name: name, Epoch: r.Epoch, NextSeq: r.NextSeq,
		LastOffset: orElse(r.LastOffset, NoOffset), Count: r.Count,
	}, nil
}

// Producers goes through the producers of a topic in the order of their ids, asking the broker page by page.
// An error ends it, such as [ErrTopicNotFound]. Producers that come and go meanwhile may or may not be seen.
func (c *Client) Producers(ctx context.Context, topic string) iter.Seq2[ProducerState, error] {
	return states(topic, func(after *int64) ([]ProducerState, *int64, error) {
		params := wire.ListProducersParams{After: after}
		r, err := read(ctx, c, "list producers",
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.ListProducers(ctx, topic, &params)
			},
			func(r *wire.ListProducersResult) error {
				return errors.Join(answered(r.Status), checkNext(after, r.Next))
			})
		if err != nil {
			return nil, nil, err
		}
		page := make([]ProducerState, len(r.Producers))
		for i, p := range r.Producers {
			page[i] = ProducerState{
				ID: p.ProducerID, Name: orEmpty(p.ProdName), Epoch: orElse(p.Epoch, -1),
				NextSeq: orElse(p.NextSeq, NoSeq), LastOffset: NoOffset, Count: orElse(p.Count, 0),
			}
		}
		return page, r.Next, nil
	})
}

// CountProduced answers how many messages were ever stored under a prod_name in a topic, or with an empty
// topic in all topics that exist; also those that retention has removed. It is 0 for an unknown name. Errors:
// [ErrTopicNotFound].
func (c *Client) CountProduced(ctx context.Context, topic, name string) (int64, error) {
	params := wire.CountProducedParams{ProdName: name}
	err := checkName("prod_name", name)
	if topic != "" {
		params.Topic = &topic
		err = checkTopicAndName(topic, name)
	}
	if err != nil {
		return 0, err
	}
	r, err := read(ctx, c, "count produced",
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.CountProduced(ctx, &params) },
		func(r *wire.CountProducedResult) error { return answered(r.Status) })
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}

func checkTopicAndName(topic, name string) error {
	if err := checkName("topic", topic); err != nil {
		return err
	}
	return checkName("prod_name", name)
}

func orElse(n *int64, otherwise int64) int64 {
	if n == nil {
		return otherwise
	}
	return *n
}
