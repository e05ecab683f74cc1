package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/topiq/topiq/client"
)

// production is the sending of one input.
type production struct {
	broker   *client.Client
	producer *client.Producer
	limits   brokerLimits
	lines    *lineReader
	progress *progress
	kept     bool // in an outbox: the lines are not numbered from the first that is stored under the name

	skipped     int64 // lines that were stored before this run
	stored      int64
	first, last int64 // offsets; of what is stored
}

// run sends all lines that are not stored yet. The seq of a line is its number, from 0 (P1), so
// what a name has stored is how many lines of its input are done; but not with an outbox.
func (p *production) run(ctx context.Context, maxLines int) error {
	if err := p.goOn(); err != nil {
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

// goOn makes the next line the one that the new session of the name expects.
func (p *production) goOn() error {
	next := p.producer.NextSeq()
	if p.kept || next == client.NoSeq {
		return nil
	}
	if next < p.skipped {
		return fmt.Errorf("%d messages were stored under this name, and now there are %d: was the topic deleted meanwhile?", p.skipped, next)
	}
	// More than before: a request of the session before this one was under way still when the broker was asked.
	_, err := p.skip(next)
	return err
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
		p.progress.add(len(b.lines[i]) + 1)
		if !p.kept && result.Seq != client.NoSeq && result.Seq != line-1 {
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
	if left := p.producer.Leftover(); left > 0 {
		text += fmt.Sprintf("; an earlier run had left %d in the outbox", left)
	}
	return text
}

// interrupted is the error of a run that was asked to end in the middle.
func (p *production) interrupted() error {
	if p.kept {
		return errors.New("interrupted; lines that were sent and not answered are in the outbox, and the next run stores them")
	}
	return errors.New("interrupted; the lines sent last may be stored too")
}
