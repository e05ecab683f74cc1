package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/topiq/topiq/client"
)

// exportFormat is the version of what `topiq export` writes.
const exportFormat = 1

// exportHead is the first line of an export.
type exportHead struct {
	Format      int    `json:"topiq_export"`
	Topic       string `json:"topic"`
	Incarnation string `json:"incarnation"`
	// FirstOffset is that of the first message; EndOffset is behind the last.
	FirstOffset int64 `json:"first_offset"`
	EndOffset   int64 `json:"end_offset"`
	// Producers are the names that have numbered messages, each with the number that it expects next. It was
	// asked for after EndOffset, so it may count messages beyond.
	Producers map[string]int64 `json:"producers,omitempty"`
}

// exportEnd is the last line: without it the file is not whole.
type exportEnd struct {
	Messages int64 `json:"topiq_export_end"`
	// SHA256 is of all lines before this one, with their newlines, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// exportCommand is `topiq export`.
type exportCommand struct {
	connection
	topicArgument
}

// Help is the longer part of the help text.
func (*exportCommand) Help() string {
	return "Writes the messages that are there when it begins, each as one line of JSON like that of topiq consume --json, " +
		"between a line that says of what and a line that says that this was all. It registers nothing and moves " +
		"nothing. topiq import puts them into a topic."
}

// Run writes the messages of a topic.
func (c *exportCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		begin, err := broker.Read(ctx, c.Topic, client.ReadOptions{MaxMessages: 1})
		if err != nil {
			return err
		}
		head := exportHead{
			Format: exportFormat, Topic: c.Topic, Incarnation: begin.Incarnation,
			FirstOffset: begin.FirstOffset, EndOffset: begin.EndOffset,
		}
		for p, err := range broker.Producers(ctx, c.Topic) {
			if err != nil {
				return err
			}
			if p.Name != "" && p.NextSeq > 0 {
				if head.Producers == nil {
					head.Producers = map[string]int64{}
				}
				head.Producers[p.Name] = p.NextSeq
			}
		}
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		w := newExportWriter(s.out)
		w.page = limitsOf(info).answerMessages
		if err := w.write(head); err != nil {
			return err
		}
		if err := w.writeMessages(ctx, broker, &head); err != nil {
			return err
		}
		return w.end()
	})
}

// exportWriter writes the lines of an export.
type exportWriter struct {
	out      *bufio.Writer
	sum      hash.Hash
	lines    *json.Encoder // to both
	messages int64
	page     int // most messages of one answer
}

func newExportWriter(out io.Writer) *exportWriter {
	w := &exportWriter{out: bufio.NewWriterSize(out, 64<<10), sum: sha256.New()}
	w.lines = newLines(io.MultiWriter(w.out, w.sum))
	return w
}

func (w *exportWriter) write(line any) error { return w.lines.Encode(line) }

// writeMessages writes the messages up to the end that was there at the beginning.
func (w *exportWriter) writeMessages(ctx context.Context, broker *client.Client, head *exportHead) error {
	for at := head.FirstOffset; at < head.EndOffset; {
		options := client.ReadOptions{From: client.At(at), Incarnation: head.Incarnation, MaxMessages: w.page}
		for page, err := range broker.Pages(ctx, head.Topic, options) {
			if err != nil {
				return err
			}
			for i := range page.Messages {
				m := &page.Messages[i]
				if m.Offset >= head.EndOffset {
					return nil
				}
				if err := w.write(jsonMessage(m)); err != nil {
					return err
				}
				w.messages++
				at = m.Offset + 1
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if at < head.EndOffset {
			return fmt.Errorf("the topic ends at %d and not at %d", at, head.EndOffset)
		}
	}
	return nil
}

func (w *exportWriter) end() error {
	end := exportEnd{Messages: w.messages, SHA256: hex.EncodeToString(w.sum.Sum(nil))}
	if err := w.write(end); err != nil {
		return err
	}
	return w.out.Flush()
}
