package main

import (
	"context"
	"strconv"

	"github.com/topiq/topiq/client"
)

// producersCommand is `topiq producers`.
type producersCommand struct {
	connection
	topicArgument
	JSON bool `name:"json" help:"Write each producer as one line of JSON."`
}

// Help is the longer part of the help text.
func (*producersCommand) Help() string {
	return "EPOCH is the number of the session that a name is in, NEXT SEQ the number of its next message, and " +
		"COUNT how many messages were ever stored under it in this topic. A producer without a name has none of " +
		"these, and a dash in their place."
}

// producerJSON is a producer as `topiq producers --json` writes it, with the names of the HTTP API.
type producerJSON struct {
	ProducerID int64  `json:"producer_id"`
	ProdName   string `json:"prod_name,omitempty"`
	Epoch      *int64 `json:"epoch,omitempty"`
	NextSeq    *int64 `json:"next_seq,omitempty"`
	Count      *int64 `json:"count,omitempty"`
}

// Run lists the producers.
func (c *producersCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		rows, lines := [][]string{{"ID", "NAME", "EPOCH", "NEXT SEQ", "COUNT"}}, newLines(s.out)
		for state, err := range broker.Producers(ctx, c.Topic) {
			if err != nil {
				return err
			}
			line, row := producerJSON{ProducerID: state.ID, ProdName: state.Name}, []string{strconv.FormatInt(state.ID, 10)}
			if state.Name == "" {
				row = append(row, "-", "-", "-", "-")
			} else {
				line.Epoch, line.NextSeq, line.Count = &state.Epoch, &state.NextSeq, &state.Count
				row = append(row, state.Name, strconv.FormatInt(state.Epoch, 10), strconv.FormatInt(state.NextSeq, 10),
					strconv.FormatInt(state.Count, 10))
			}
			rows = append(rows, row)
			if !c.JSON {
				continue
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		if c.JSON {
			return nil
		}
		return writeTable(s.out, rows)
	})
}
