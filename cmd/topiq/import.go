package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/topiq/topiq/client"
)

// importCommand is `topiq import`.
type importCommand struct {
	connection
	topicArgument
	File    string `arg:"" optional:"" help:"File that topiq export has written; standard input if it is missing or -."`
	DropSeq bool   `help:"Where the first messages of a producer were trimmed before the export: keep its name, and drop the numbers of its messages."`
}

// Help is the longer part of the help text.
func (*importCommand) Help() string {
	return "Creates the topic if it is missing. The messages get the bytes, headers, names and seq that they had, in the " +
		"same order. They get new times, and offsets from 0. What the topic has already must be the beginning of the " +
		"export: it is compared, and only the rest is appended. So an import that was interrupted is run again, and " +
		"each message is there once. Nobody else may write to the topic meanwhile: the import then stops.\n\n" +
		"A producer with a name goes on in the new topic with the seq that it had. That cannot be where its first " +
		"messages were trimmed before the export, for seq begins at 0 in each topic. Then --drop-seq imports its " +
		"messages without numbers; such a producer must not go on under its name as if they were there."
}

// Run imports the messages.
func (c *importCommand) Run(ctx context.Context, s streams) error {
	in := s.in
	if c.File != "" && c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	export, err := newExportReader(in)
	if err != nil {
		return err
	}
	if n := len(export.head.Producers); export.head.FirstOffset > 0 && n > 0 && !c.DropSeq {
		return fmt.Errorf("%s were trimmed before the export, so seq of %s may not begin at 0: --drop-seq imports without",
			plural(export.head.FirstOffset, "message"), plural(int64(n), "producer"))
	}
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		info, err := broker.Info(ctx)
		if err != nil {
			return err
		}
		i := &importing{
			broker: broker, topic: c.Topic, export: export, limits: limitsOf(info), dropSeq: c.DropSeq,
			nextSeq: map[string]int64{}, registered: map[string]bool{},
		}
		err = i.run(ctx)
		_, _ = fmt.Fprintf(s.err, "%s\n", i.report())
		return err
	})
}

// importing is an import under way. at is where the next message comes to lie: each request says so
// (expected_offset), and is refused where something else lies there by now, be it what an attempt has stored
// whose answer was lost. So nothing is stored twice, also of messages that have no seq.
type importing struct {
	broker  *client.Client
	topic   string
	export  *exportReader
	limits  brokerLimits
	dropSeq bool

	registration client.Registration
	registered   map[string]bool  // names that have a session
	nextSeq      map[string]int64 // of names whose seq are kept
	at           int64
	found        int64 // messages that were there before
}

func (i *importing) run(ctx context.Context) error {
	var err error
	if i.registration, err = i.broker.RegisterProducer(ctx, i.topic, ""); err != nil {
		return err
	}
	topic, err := i.broker.DescribeTopic(ctx, i.topic)
	if err != nil {
		return err
	}
	if topic.FirstOffset > 0 {
		return fmt.Errorf("the first %s of topic %s were trimmed: what was there cannot be compared; import into another topic",
			plural(topic.FirstOffset, "message"), i.topic)
	}
	if err := i.compare(ctx, topic.NextOffset); err != nil {
		return ignoreEOF(err)
	}
	return i.send(ctx)
}

// ignoreEOF is nil for the end of the export.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// next is the next message as it is to be stored, and io.EOF after the last.
func (i *importing) next() (client.Message, error) {
	m, err := i.export.next()
	if err != nil || m.Seq == nil {
		return m, err
	}
	next := i.nextSeq[m.ProdName] // 0 for a name that was not met
	switch {
	case m.ProdName == "":
		return m, fmt.Errorf("line %d: a message without a producer's name has a seq", i.export.line)
	case *m.Seq == next:
		i.nextSeq[m.ProdName] = next + 1
	case next == 0 && !i.dropSeq:
		return m, fmt.Errorf("line %d: message %d of %s is its first in the export: --drop-seq imports without numbers",
			i.export.line, *m.Seq, m.ProdName)
	case next > 0:
		return m, fmt.Errorf("line %d: message %d of %s follows on %d", i.export.line, *m.Seq, m.ProdName, next-1)
	default:
		i.nextSeq[m.ProdName] = dropped
		m.Seq = nil
	}
	return m, nil
}

// dropped is the nextSeq of a name whose seq are not kept: none is equal to it.
const dropped = -1

// compare goes through what the topic has, which must be how the export begins.
func (i *importing) compare(ctx context.Context, end int64) error {
	if end == 0 {
		return nil
	}
	options := client.ReadOptions{From: client.At(0), Incarnation: i.registration.Incarnation, MaxMessages: i.limits.answerMessages}
	for stored, err := range i.broker.Messages(ctx, i.topic, options) {
		if err != nil {
			return err
		}
		if stored.Offset >= end {
			return nil
		}
		m, err := i.next()
		if err != nil {
			return err // io.EOF: the topic has all, and has gone on since
		}
		if !sameMessage(&m, &stored) {
			return fmt.Errorf("the topic has another message at offset %d than line %d of the export: import into another topic",
				stored.Offset, i.export.line)
		}
		i.at, i.found = i.at+1, i.found+1
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if i.at < end {
		return fmt.Errorf("the topic ended at %d when it was asked, and then at %d", end, i.at)
	}
	return nil
}

func (i *importing) report() string {
	text := fmt.Sprintf("imported %s into %s", plural(i.at-i.found, "message"), i.topic)
	if i.found > 0 {
		text += fmt.Sprintf("; %d were there", i.found)
	}
	return text
}
