package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/topiq/topiq/client"
)

// skipStored reads past the lines that the name has stored already. It asks before a session is
// opened: a command line that is refused must not fence a producer of that name that is at work.
func (p *production) skipStored(ctx context.Context, c *produceCommand, s streams) error {
	if c.Name == "" || p.kept {
		return nil
	}
	state, err := p.broker.ProducerState(ctx, c.Topic, c.Name)
	if errors.Is(err, client.ErrTopicNotFound) || errors.Is(err, client.ErrProducerNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	line, err := p.skip(state.NextSeq)
	if err != nil || p.skipped == 0 {
		return err
	}
	same, err := p.isStored(ctx, c.Topic, state.LastOffset, line)
	if err != nil || same {
		return err
	}
	if !c.Resume {
		return fmt.Errorf("line %d is not what was stored of it under this name: was the name used for another input? "+
			"(use another name, or --resume to send what comes after that line)", p.skipped)
	}
	_, err = fmt.Fprintf(s.err, "line %d is not what was stored of it under this name; going on behind it\n", p.skipped)
	return err
}

// skip reads past lines until so many are done, and returns the last one that it read.
func (p *production) skip(done int64) (line []byte, err error) {
	for ; p.skipped < done; p.skipped++ {
		line, err = p.lines.next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%d messages are stored under this name, but there are only %d lines: was it used for another input?",
				done, p.skipped)
		}
		if err != nil {
			return nil, err
		}
		p.progress.add(len(line) + 1)
	}
	return line, nil
}

// isStored reports whether a line is what is stored at an offset, as far as can be told: what
// retention has removed cannot be compared with.
func (p *production) isStored(ctx context.Context, topic string, offset int64, line []byte) (bool, error) {
	if offset == client.NoOffset {
		return true, nil
	}
	page, err := p.broker.Read(ctx, topic, client.ReadOptions{From: client.At(offset), MaxMessages: 1})
	if errors.Is(err, client.ErrOffsetTrimmed) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return len(page.Messages) == 0 || bytes.Equal(page.Messages[0].Value, line), nil
}
