package main

import (
	"context"
	"errors"
	"math"

	"github.com/topiq/topiq/client"
)

// consumeCommand is `topiq consume`.
type consumeCommand struct {
	connection
	topicArgument
	From   place  `default:"beginning" help:"Where to begin: beginning, end, the offset of a message, a time such as 2026-03-01T09:30:00Z, or an age such as -1h. A consumer whose --name is known goes on where it was."`
	Follow bool   `help:"Do not end at the end of the topic, but wait for more messages."`
	Name   string `placeholder:"NAME" help:"Name of this consumer, whose position the broker keeps. It moves past a message only after the message was written."`
	JSON   bool   `name:"json" help:"Write each message as one line of JSON, with offset, message or message_base64, prod_name, seq, headers and created_at."`
	Limit  int64  `default:"0" help:"End after so many messages; 0 is without limit."`
}

// Help is the longer part of the help text.
func (*consumeCommand) Help() string {
	return "Each message is written byte for byte, and a newline after it. Ends at what was the end of the topic " +
		"when it began, unless it is to follow.\n\n" +
		"Without --name this only reads: nothing is registered, and nothing is left behind however it ends."
}

// Validate refuses what cannot work; kong calls it.
func (c *consumeCommand) Validate() error {
	if c.Limit < 0 {
		return errors.New("--limit must not be negative")
	}
	return nil
}

// Run writes messages.
func (c *consumeCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		out, page := newMessageWriter(s.out, c.JSON), limitsOf(info).answerMessages
		if c.Name != "" {
			return c.consume(ctx, broker, out, page)
		}
		return c.ended(ctx, c.read(ctx, broker, out, page))
	})
}

// read writes messages by pure reads.
func (c *consumeCommand) read(ctx context.Context, broker *client.Client, out *messageWriter, page int) error {
	left := c.most()
	options := client.ReadOptions{From: client.Start(c.From), MaxMessages: int(min(int64(page), left)), Follow: c.Follow, Stream: c.Follow}
	for page, err := range broker.Pages(ctx, c.Topic, options) {
		if err != nil {
			return err
		}
		messages := page.Messages[:min(int64(len(page.Messages)), left)]
		if err := out.writeAll(messages); err != nil {
			return err
		}
		if left -= int64(len(messages)); left == 0 {
			break
		}
	}
	return nil
}

// most is how many messages may be written.
func (c *consumeCommand) most() int64 {
	if c.Limit == 0 {
		return math.MaxInt64
	}
	return c.Limit
}

// ended turns the error of a reading that was interrupted into what it means for the command.
func (c *consumeCommand) ended(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if c.Follow {
		return nil // there is no other way to end it
	}
	return errors.New("interrupted before the end")
}
