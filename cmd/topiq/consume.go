package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/topiq/topiq/client"
)

// consumeCommand is `topiq consume`.
type consumeCommand struct {
	connection
	topicArgument
	From   string `default:"beginning" help:"Where to begin: beginning, end, or the offset of a message. A consumer whose --name is known goes on where it was."`
	Follow bool   `help:"Do not end at the end of the topic, but wait for more messages."`
	Name   string `placeholder:"NAME" help:"Name of this consumer, whose position the broker keeps. It moves past a message only after the message was written; without a name nothing is kept."`
	Limit  int64  `default:"0" help:"End after so many messages; 0 is without limit."`
}

// Help is the longer part of the help text.
func (*consumeCommand) Help() string {
	return "Each message is written byte for byte, and a newline after it. Ends at what was the end of the topic " +
		"when it began, unless it is to follow."
}

// Validate refuses what cannot work; kong calls it.
func (c *consumeCommand) Validate() error {
	if c.Limit < 0 {
		return errors.New("--limit must not be negative")
	}
	if n, err := strconv.ParseInt(c.From, 10, 64); (err != nil || n < 0) && c.From != "beginning" && c.From != "end" {
		return fmt.Errorf("--from must be beginning, end or the offset of a message, but got %q", c.From)
	}
	return nil
}

// Run writes messages.
func (c *consumeCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		// What this command promises to read is what is there now, so this is asked first.
		topic, err := broker.DescribeTopic(ctx, c.Topic)
		if err != nil {
			return err
		}
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		page := limitsOf(info).answerMessages
		options := []client.ConsumerOption{client.From(client.Start(c.From)), client.MaxMessages(page)}
		if c.Name != "" {
			options = append(options, client.Name(c.Name))
		}
		consumer, err := broker.Consumer(ctx, []string{c.Topic}, options...)
		if err != nil {
			return err
		}
		r := &reading{consumer: consumer, page: int64(page), out: bufio.NewWriterSize(s.out, 64<<10)}
		r.end, r.left = topic.NextOffset, c.Limit
		if c.Follow {
			r.end = math.MaxInt64
		}
		if c.Limit == 0 {
			r.left = math.MaxInt64
		}
		position, _ := consumer.Position(c.Topic)
		r.next = position.Offset
		return c.close(ctx, r, r.run(ctx))
	})
}

// closeTimeout bounds what is still told to the broker when this command is asked to end.
const closeTimeout = 5 * time.Second

// close ends the reading: what was written, and nothing else, is committed.
func (c *consumeCommand) close(ctx context.Context, r *reading, err error) error {
	interrupted := ctx.Err() != nil
	if interrupted && errors.Is(err, ctx.Err()) {
		err = errors.New("interrupted before the end")
		if c.Follow {
			err = nil // there is no other way to end it
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if c.Name != "" && r.written {
		if commitErr := r.consumer.Commit(ctx); err == nil {
			err = commitErr
		}
	}
	if closeErr := r.consumer.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// reading is the way of messages from one topic to the output.
type reading struct {
	consumer *client.Consumer
	out      *bufio.Writer
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
		for i := range messages {
			if _, err := r.out.Write(messages[i].Value); err != nil {
				return err
			}
			if err := r.out.WriteByte('\n'); err != nil {
				return err
			}
			r.next = messages[i].Offset + 1
			r.left--
		}
		if err := r.out.Flush(); err != nil {
			return err
		}
		r.written = true
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
