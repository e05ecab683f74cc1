package main

import (
	"context"
	"strconv"
	"time"

	"github.com/topiq/topiq/client"
)

// consumersCommand is `topiq consumers`.
type consumersCommand struct {
	connection
	topicArgument
	JSON bool `name:"json" help:"Write each consumer as one line of JSON."`
}

// Help is the longer part of the help text.
func (*consumersCommand) Help() string {
	return "OFFSET is that of the message a consumer gets next, and LAG is how many stored messages it has not got " +
		"yet. A dash stands for a name that there is not, or a time that is not known."
}

// consumerJSON is a consumer as `topiq consumers --json` writes it, with the names of the HTTP API.
type consumerJSON struct {
	ConsumerID int64     `json:"consumer_id"`
	ConsName   string    `json:"cons_name,omitempty"`
	Offset     int64     `json:"offset"`
	Lag        int64     `json:"lag"`
	LastSeen   time.Time `json:"last_seen,omitzero"`
}

// Run lists the consumers.
func (c *consumersCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		rows, lines := [][]string{{"ID", "NAME", "OFFSET", "LAG", "LAST SEEN"}}, newLines(s.out)
		for state, err := range broker.Consumers(ctx, c.Topic) {
			if err != nil {
				return err
			}
			if c.JSON {
				if err := lines.Encode(consumerJSON{state.ID, state.Name, state.Offset, state.Lag, state.LastSeen.UTC()}); err != nil {
					return err
				}
				continue
			}
			seen := ""
			if !state.LastSeen.IsZero() {
				seen = stamp(state.LastSeen)
			}
			rows = append(rows, []string{
				strconv.FormatInt(state.ID, 10), orDash(state.Name), strconv.FormatInt(state.Offset, 10),
				strconv.FormatInt(state.Lag, 10), orDash(seen),
			})
		}
		if c.JSON {
			return nil
		}
		return writeTable(s.out, rows)
	})
}
