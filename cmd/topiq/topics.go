package main

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/topiq/topiq/client"
)

// topicsCommand is `topiq topics`.
type topicsCommand struct {
	List     topicsListCommand     `cmd:"" help:"Write the names of all topics, sorted, each as one line."`
	Create   topicsCreateCommand   `cmd:"" help:"Create an empty topic."`
	Describe topicsDescribeCommand `cmd:"" help:"Write what is known of a topic, one fact a line."`
	Show     topicsDescribeCommand `cmd:"" hidden:"" help:"Another name of describe."`
	Set      topicsSetCommand      `cmd:"" help:"Change what is kept of a topic, and how much there may be."`
	Delete   topicsDeleteCommand   `cmd:"" help:"Delete a topic with its messages, producers and consumers."`
}

// topicArgument is the name of the topic that a command is about.
type topicArgument struct {
	Topic string `arg:"" help:"Name of the topic: 1 to 128 of A-Z a-z 0-9 . _ -"`
}

// topicsListCommand is `topiq topics list`.
type topicsListCommand struct {
	connection
	Prefix string `placeholder:"TEXT" help:"Only names that begin with this."`
}

// Run lists the topics.
func (c *topicsListCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		out := bufio.NewWriter(s.out)
		for name, err := range broker.Topics(ctx, c.Prefix) {
			if err != nil {
				return errors.Join(err, out.Flush())
			}
			if _, err := out.WriteString(name + "\n"); err != nil {
				return err
			}
		}
		return out.Flush()
	})
}

// topicsCreateCommand is `topiq topics create`.
type topicsCreateCommand struct {
	connection
	topicArgument
	retentionFlags
	quotaFlags
}

// Validate refuses what cannot work; kong calls it.
func (c *topicsCreateCommand) Validate() error {
	return errors.Join(c.retentionFlags.validate(), c.quotaFlags.validate())
}

// Run creates the topic.
func (c *topicsCreateCommand) Run(ctx context.Context, s streams) error {
	var options []client.TopicOption
	if c.retentionFlags.given() {
		options = append(options, client.WithRetention(c.retention()))
	}
	if c.quotaFlags.given() {
		options = append(options, client.WithQuota(c.quota()))
	}
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		return broker.CreateTopic(ctx, c.Topic, options...)
	})
}

// topicsDescribeCommand is `topiq topics describe`.
type topicsDescribeCommand struct {
	connection
	topicArgument
}

// Run describes the topic.
func (c *topicsDescribeCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		topic, err := broker.DescribeTopic(ctx, c.Topic)
		if err != nil {
			return err
		}
		count := func(n int64) string { return strconv.FormatInt(n, 10) }
		return writeFacts(s.out, slices.Concat([][]string{
			{"topic", topic.Name},
			{"created_at", stamp(topic.CreatedAt)},
			{"incarnation", topic.Incarnation},
			{"messages", count(topic.Messages)},
			{"bytes", count(topic.Bytes)},
			{"first_offset", count(topic.FirstOffset)},
			{"next_offset", count(topic.NextOffset)},
		}, retentionFacts(topic.Retention), quotaFacts(topic.Quota), [][]string{
			{"producers", count(topic.Producers)},
			{"consumers", count(topic.Consumers)},
		}))
	})
}

// topicsDeleteCommand is `topiq topics delete`.
type topicsDeleteCommand struct {
	connection
	topicArgument
}

// Run deletes the topic.
func (c *topicsDeleteCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		return broker.DeleteTopic(ctx, c.Topic)
	})
}
