package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/topiq/topiq/client"
)

// produceCommand is `topiq produce`.
type produceCommand struct {
	connection
	topicArgument
	File   string `arg:"" optional:"" help:"File whose lines become messages; standard input if it is missing or -."`
	Name   string `placeholder:"NAME" help:"Name of this producer, for exactly once: line n of the input is its message n, so running it again with the same input appends only the lines that are missing."`
	Resume bool   `help:"Go on behind the lines that the broker has under --name, without a look at what they were."`
	Outbox string `placeholder:"FILE" help:"Keep each line in this file from before it is sent until it is stored. For an input that cannot be read again; all of it is appended, after what an earlier run has left."`
	Batch  int    `default:"1000" help:"Most lines of one request."`
}

// Help is the longer part of the help text.
func (*produceCommand) Help() string {
	return "Creates the topic if it is missing. A message is a line without its newline, byte for byte: as text " +
		"where it is valid UTF-8, as bytes where not. A last line needs no newline. How many messages were stored, " +
		"and their offsets, is told on standard error, where a file also shows its progress on a terminal.\n\n" +
		"With --name, the broker knows how many lines are stored already, and only those after them are sent. The " +
		"last of them must be in the input where it was; otherwise the name belongs to another input, and nothing " +
		"is sent. --resume sends the lines behind that place all the same, and tells of the difference. Whatever " +
		"the input, it must have the lines that are stored in front of those that are not.\n\n" +
		"With --outbox, the lines of each run are new ones, whatever is stored under --name. A line that has reached the " +
		"outbox is stored exactly once, by this run or by the next one with the same --outbox and --name, also if this one " +
		"is killed; an empty input sends what is left. One run at a time can use an outbox."
}

// Validate refuses what cannot work; kong calls it.
func (c *produceCommand) Validate() error {
	switch {
	case c.Batch < 1:
		return errors.New("--batch must be at least 1")
	case c.Resume && c.Name == "":
		return errors.New("--resume goes on with what is stored under a --name: give both")
	case c.Outbox != "" && c.Name == "":
		return errors.New("--outbox keeps what is sent under a --name: give both")
	case c.Outbox != "" && c.Resume:
		return errors.New("--resume goes on in an input that can be read again, which needs no --outbox: give one of them")
	}
	return nil
}

// Run appends the lines of the input.
func (c *produceCommand) Run(ctx context.Context, s streams) error {
	in, shown := s.in, (*progress)(nil)
	if c.File != "" && c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // it was only read
		in, shown = file, newProgress(s.err, file)
		defer shown.end()
	}
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		limits := limitsOf(info)
		p := &production{
			broker: broker, limits: limits, lines: newLineReader(in, limits.messageBytes), progress: shown,
			first: client.NoOffset, last: client.NoOffset, kept: c.Outbox != "",
		}
		if err := p.skipStored(ctx, c, s); err != nil {
			return err
		}
		p.producer, err = broker.Producer(ctx, c.Topic, c.options(limits)...)
		if err != nil {
			return err
		}
		err = p.run(ctx, c.Batch)
		if closeErr := p.producer.Close(ctx); err == nil {
			err = closeErr
		}
		shown.end()
		_, _ = fmt.Fprintf(s.err, "%s\n", p.report())
		if err != nil && ctx.Err() != nil {
			err = p.interrupted()
		}
		return err
	})
}

func (c *produceCommand) options(limits brokerLimits) []client.ProducerOption {
	options := []client.ProducerOption{
		client.MaxBatchMessages(min(c.Batch, limits.requestMessages)),
		client.MaxBatchBytes(min(1<<20, limits.requestBytes)),
	}
	if c.Name != "" {
		options = append(options, client.Name(c.Name))
	}
	if c.Outbox != "" {
		options = append(options, client.Outbox(c.Outbox))
	}
	return options
}
