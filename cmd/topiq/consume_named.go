package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/topiq/topiq/client"
)

// closeTimeout bounds what is still told to the broker when this command is asked to end.
const closeTimeout = 5 * time.Second

// consume writes messages as a consumer whose position the broker keeps.
func (c *consumeCommand) consume(ctx context.Context, broker *client.Client, out *messageWriter, page int) error {
	// What this command promises to read is what is there now, so this is asked first.
	topic, err := broker.DescribeTopic(ctx, c.Topic)
	if err != nil {
		return err
	}
	options := []client.ConsumerOption{
		client.From(client.Start(c.From)), client.MaxMessages(page), client.Name(c.Name),
	}
	if c.Follow {
		options = append(options, client.Stream())
	}
	consumer, err := broker.Consumer(ctx, []string{c.Topic}, options...)
	if err != nil {
		return err
	}
	r := &reading{consumer: consumer, page: int64(page), out: out, end: topic.NextOffset, left: c.most()}
	if c.Follow {
		r.end = math.MaxInt64
	}
	position, _ := consumer.Position(c.Topic)
	r.next = position.Offset
	if r.next > topic.NextOffset {
		// Another consumer of this name may have read on meanwhile. Otherwise messages were lost, and
		// to find nothing to read would hide it.
		topic, err = broker.DescribeTopic(ctx, c.Topic)
		if err == nil && r.next > topic.NextOffset {
			err = fmt.Errorf("consumer %s is at offset %d, and topic %s ends at %d: messages that it has read are lost, "+
				"as after a backup was put back; `topiq seek` moves it: %w",
				c.Name, r.next, c.Topic, topic.NextOffset, client.ErrOffsetOutOfRange)
		}
		if err != nil {
			return errors.Join(err, consumer.Close(ctx))
		}
	}
	err = c.ended(ctx, r.run(ctx))
	return r.close(ctx, err)
}

// reading is the way of messages from one topic to the output, for a consumer with a name.
type reading struct {
	consumer *client.Consumer
	out      *messageWriter
	page     int64

	next, end int64 // offsets: of the message that comes next, and of the first that is not promised
	left      int64 // messages until the limit
	written   bool  // all that was handed out has been written
}

// run writes messages until there is an end.
func (r *reading) run(ctx context.Context) error {
	r.written = true
	for r.next < r.end && r.left > 0 {
		messages, err := r.read(ctx)
		if err != nil {
			return err
		}
		// The broker is told of these messages by the next read, or by Commit: not before they are
		// written.
		r.written = false
		if err := r.out.writeAll(messages); err != nil {
			return err
		}
		r.written = true
		r.next += int64(len(messages))
		r.left -= int64(len(messages))
	}
	return nil
}

// read returns the next messages, never more than are left until the limit: what was handed out
// counts as read when the position is committed.
func (r *reading) read(ctx context.Context) ([]client.Message, error) {
	if r.left >= r.page {
		return r.consumer.Poll(ctx)
	}
	for message, err := range r.consumer.Messages(ctx) {
		return []client.Message{message}, err
	}
	return nil, ctx.Err()
}

// close ends the reading: what was written, and nothing else, is committed.
func (r *reading) close(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if r.written {
		if commitErr := r.consumer.Commit(ctx); err == nil {
			err = commitErr
		}
	}
	if closeErr := r.consumer.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}
