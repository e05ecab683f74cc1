package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// Registration is a producer that was registered by [Client.RegisterProducer].
type Registration struct {
	ID          int64
	Incarnation string // of the topic
}

// RegisterProducer registers a producer for [Client.Append], and creates the topic if it is missing. With a
// name it opens a session of it, as [Client.Producer] does, and so ends the one before. Errors:
// [ErrInvalidRequest]; [ErrProducerFenced].
func (c *Client) RegisterProducer(ctx context.Context, topic, name string) (Registration, error) {
	err := checkName("topic", topic)
	if err == nil && name != "" {
		err = checkName("prod_name", name)
	}
	if err != nil {
		return Registration{}, err
	}
	r, err := c.registerProducer(ctx, topic, name)
	if err != nil {
		return Registration{}, err
	}
	return Registration{ID: r.ProducerID, Incarnation: r.Incarnation}, nil
}

// Append is one produce request as it is, for programs that put messages where they have been before. All
// others use a [Producer], which counts, batches and repeats by itself.
type Append struct {
	// ProducerID is that of a Registration on the topic.
	ProducerID int64
	// Incarnation is compared with that of the topic, if it is not empty.
	Incarnation string
	// ProdName is the name that the messages are stored under; empty for none. With Seq it must have been
	// registered on the topic.
	ProdName string
	// Seq is that of the first message; the others follow on. nil for messages without one.
	Seq *int64
	// ExpectedOffset is where the first message must come to lie; nil for wherever that is.
	ExpectedOffset *int64
	// Messages are stored together, or not at all. Of their fields only Value, Binary and Headers are sent.
	Messages []Message
}

// Append makes the request and answers the offset of the first message. With Seq or ExpectedOffset it is
// repeated also while its outcome is unknown, for it cannot be stored twice. A repeat with Seq answers
// where the first attempt was stored. One with ExpectedOffset alone is refused if it was stored: then the error
// matches both [ErrOutcomeUnknown] and [ErrAppendConflict], and what lies at the offset tells.
//
// Errors: [ErrTopicNotFound], [ErrIncarnationChanged], [ErrProducerNotFound], [ErrSeqGap], [ErrSeqReused],
// [ErrAppendConflict], [ErrMessageTooLarge], [ErrRequestTooLarge], [ErrInvalidRequest], [ErrOutcomeUnknown].
func (c *Client) Append(ctx context.Context, topic string, a Append) (offset int64, err error) {
	if err := checkName("topic", topic); err != nil {
		return 0, err
	}
	body, err := a.encode(topic)
	if err != nil {
		return 0, err
	}
	r, err := retry(ctx, c, a.Seq != nil || a.ExpectedOffset != nil, func(ctx context.Context) (*wire.ProduceResult, error) {
		return exchange(ctx, c, operation{name: "produce", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.ProduceWithBody(ctx, "application/json", newBody(body))
			},
			func(r *wire.ProduceResult) error {
				if r.Count != int64(len(a.Messages)) {
					return fmt.Errorf("%d messages were sent and %d answered", len(a.Messages), r.Count)
				}
				return answered(r.Status)
			})
	})
	if err != nil {
		return 0, err
	}
	return orElse(r.Offset, NoOffset), nil
}

// encode is the body of the request.
func (a *Append) encode(topic string) ([]byte, error) {
	head := wire.ProduceRequest{
		Topic: topic, ProducerID: a.ProducerID, Seq: a.Seq, ExpectedOffset: a.ExpectedOffset,
	}
	if a.ProdName != "" {
		head.ProdName = &a.ProdName
	}
	if a.Incarnation != "" {
		head.Incarnation = &a.Incarnation
	}
	messages := make([][]byte, len(a.Messages))
	for i := range a.Messages {
		var err error
		if messages[i], err = a.Messages[i].encode(nil); err != nil {
			return nil, err
		}
	}
	return produceBody(&head, messages)
}
