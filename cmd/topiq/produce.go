package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/topiq/topiq/client"
)

// produceCommand is `topiq produce`.
type produceCommand struct {
	connection
	topicArgument
	File  string `arg:"" optional:"" help:"File whose lines become messages; standard input if it is missing or -."`
	Name  string `placeholder:"NAME" help:"Name of this producer, for exactly once: line n is its message n, so running it again with the same input appends only the lines that are missing."`
	Batch int    `default:"1000" help:"Most lines of one request."`
}

// Help is the longer part of the help text.
func (*produceCommand) Help() string {
	return "Creates the topic if it is missing. A message is a line without its newline, byte for byte: as text " +
		"where it is valid UTF-8, as bytes where not. A last line needs no newline. How many messages were stored, " +
		"and their offsets, is told on standard error."
}

// Validate refuses what cannot work; kong calls it.
func (c *produceCommand) Validate() error {
	if c.Batch < 1 {
		return errors.New("--batch must be at least 1")
	}
	return nil
}

// Run appends the lines of the input.
func (c *produceCommand) Run(ctx context.Context, s streams) (err error) {
	in := s.in
	if c.File != "" && c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		limits := limitsOf(info)
		options := []client.ProducerOption{
			client.MaxBatchMessages(min(c.Batch, limits.requestMessages)),
			client.MaxBatchBytes(min(1<<20, limits.requestBytes)),
		}
		if c.Name != "" {
			options = append(options, client.Name(c.Name))
		}
		producer, err := broker.Producer(ctx, c.Topic, options...)
		if err != nil {
			return err
		}
		p := &production{
			producer: producer, limits: limits, lines: newLineReader(in, limits.messageBytes),
			first: client.NoOffset, last: client.NoOffset,
		}
		err = p.run(ctx, broker, c.Batch)
		if closeErr := producer.Close(ctx); err == nil {
			err = closeErr
		}
		_, _ = fmt.Fprintf(s.err, "%s\n", p.report())
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted; the lines sent last may be stored too")
		}
		return err
	})
}

// production is the sending of one input.
type production struct {
	producer *client.Producer
	limits   brokerLimits
	lines    *lineReader

	skipped     int64 // lines that were stored before this run
	stored      int64
	first, last int64 // offsets; of what is stored
}

// run sends all lines that are not stored yet. The seq of a line is its number, from 0 (P1): so
// what a name has stored is how many lines of its input are done.
func (p *production) run(ctx context.Context, broker *client.Client, maxLines int) error {
	if err := p.skip(ctx, broker); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the reading when sending fails
	defer cancel()
	batches := p.lines.batches(ctx, maxLines)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-batches:
			// What was read before the end, or before a line that cannot be sent, is sent first.
			if err := p.send(ctx, b); err != nil {
				return err
			}
			if errors.Is(b.err, io.EOF) {
				return nil
			}
			if b.err != nil {
				return b.err
			}
		}
	}
}

func (p *production) send(ctx context.Context, b batch) error {
	messages := make([]client.Message, 0, len(b.lines))
	var tooLong error
	for i, line := range b.lines {
		if encodedSize(line) > p.limits.requestBytes {
			// Refused here: the broker would refuse this line, but take those after it, and the
			// seq of a line would no longer be its number.
			tooLong = fmt.Errorf("line %d is too long for a request once it is written as JSON", b.first+int64(i))
			break
		}
		messages = append(messages, message(line))
	}
	results, err := p.producer.SendBatch(ctx, messages)
	for i, result := range results {
		line := b.first + int64(i)
		if result.Err != nil {
			return fmt.Errorf("line %d: %w", line, result.Err)
		}
		p.count(result.Offset)
		if result.Seq != client.NoSeq && result.Seq != line-1 {
			return fmt.Errorf("line %d was stored as message %d of its name: does another producer use it?", line, result.Seq)
		}
	}
	if err != nil {
		return err
	}
	return tooLong
}

func (p *production) count(offset int64) {
	p.stored++
	if offset == client.NoOffset {
		return // retention was faster
	}
	if p.first == client.NoOffset {
		p.first = offset
	}
	p.last = offset
}

// skip reads past the lines that the name has stored already.
func (p *production) skip(ctx context.Context, broker *client.Client) error {
	var line []byte
	for next := p.producer.NextSeq(); p.skipped < next; p.skipped++ {
		var err error
		if line, err = p.lines.next(); errors.Is(err, io.EOF) {
			return fmt.Errorf("%d messages are stored under this name, but there are only %d lines: was it used for another input?",
				next, p.skipped)
		} else if err != nil {
			return err
		}
	}
	if p.skipped == 0 {
		return nil
	}
	return p.compare(ctx, broker, line)
}

// compare refuses an input other than the one that the name was used for, as far as the last line
// stored tells. Otherwise lines of the other input would be left out, and nobody told.
func (p *production) compare(ctx context.Context, broker *client.Client, line []byte) error {
	consumer, err := broker.Consumer(ctx, []string{p.producer.Topic()},
		client.From(client.At(p.producer.LastOffset())), client.MaxMessages(1))
	if errors.Is(err, client.ErrOffsetTrimmed) {
		return nil // retention has removed it, so there is nothing to compare with
	}
	if err != nil {
		return err
	}
	for stored, readErr := range consumer.Messages(ctx) {
		if err = readErr; err == nil && !bytes.Equal(stored.Value, line) {
			err = fmt.Errorf("line %d is not what was stored of it under this name: was the name used for another input?", p.skipped)
		}
		break
	}
	return errors.Join(err, consumer.Close(ctx))
}

// report says what was done.
func (p *production) report() string {
	text := fmt.Sprintf("stored %d messages in %s", p.stored, p.producer.Topic())
	switch {
	case p.first == client.NoOffset:
	case p.last-p.first == p.stored-1:
		text += fmt.Sprintf(" at offsets %d to %d", p.first, p.last)
	default:
		text += fmt.Sprintf(" between offsets %d and %d", p.first, p.last)
	}
	if p.skipped > 0 {
		text += fmt.Sprintf(", after %d that were there", p.skipped)
	}
	return text
}
