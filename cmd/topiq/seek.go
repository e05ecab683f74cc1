package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/topiq/topiq/client"
)

// seekCommand is `topiq seek`.
type seekCommand struct {
	connection
	topicArgument
	Name string `placeholder:"NAME" help:"Name of the consumer."`
	ID   int64  `name:"id" placeholder:"N" help:"Id of the consumer, in place of its name."`
	To   place  `required:"" placeholder:"PLACE" help:"Where to: beginning, end, the offset of a message, a time such as 2026-03-01T09:30:00Z, or an age such as -1h."`
}

// Help is the longer part of the help text.
func (*seekCommand) Help() string {
	return "Writes the offset of the message that the consumer gets next. A consumer that is running keeps its own " +
		"position and goes on with it: stop it first."
}

// Validate refuses what cannot work; kong calls it.
func (c *seekCommand) Validate() error {
	if (c.Name == "") == (c.ID == 0) {
		return errors.New("want either --name or --id")
	}
	return nil
}

// Run moves the consumer.
func (c *seekCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		id := c.ID
		if c.Name != "" {
			state, err := broker.ConsumerState(ctx, c.Topic, c.Name)
			if err != nil {
				return err
			}
			id = state.ID
		}
		offset, err := broker.SetOffset(ctx, c.Topic, id, client.Start(c.To))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, offset)
		return err
	})
}
