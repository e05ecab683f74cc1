package client

import (
	"maps"
	"strconv"
	"time"
)

// Defaults and limits of a consumer.
const (
	defaultWait     = 20 * time.Second
	maxWait         = 60 * time.Second
	defaultPollTime = time.Second // where long polling is switched off
	// minPollTime is the least time between two polls of a topic that had nothing, in case the broker
	// answers a long poll at once.
	minPollTime = 100 * time.Millisecond
)

// ConsumerOption configures a [Consumer].
type ConsumerOption interface {
	applyConsumer(cfg *consumerConfig)
}

type consumerConfig struct {
	name               string
	from               Start
	timeout            time.Duration
	pollTime           time.Duration
	pollTimeAfterError time.Duration
	wait               time.Duration
	maxMessages        int
	maxBytes           int
	offsets            map[string]Position
	stream             bool
}

type consumerOption func(*consumerConfig)

func (o consumerOption) applyConsumer(cfg *consumerConfig) { o(cfg) }

// Start is where reading begins, or a consumer that has no position yet: [Beginning], [End], [At] or [AtTime].
type Start string

// The two ends of a topic.
const (
	Beginning Start = "beginning" // the first message still stored
	End       Start = "end"       // only messages stored from now on
)

// At is the message at an offset.
func At(offset int64) Start { return Start(strconv.FormatInt(offset, 10)) }

// Position is a place in a topic. Programs that keep it themselves store both parts with the effect of a
// message, in one transaction, and start with it again; see [Offsets].
type Position struct {
	Offset      int64  // of the message that comes next
	Incarnation string // of the topic (P13)
}

// From sets where a consumer begins that has no position yet. Default [Beginning]. It has no effect on a
// named consumer that the broker knows.
func From(start Start) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.from = start })
}

// Offsets sets positions to begin with, by topic. They win over From and over the position that the broker
// keeps, also backwards. If the incarnation of a topic is another one by now, the consumer is refused with
// [ErrIncarnationChanged]; an empty one is not compared.
func Offsets(positions map[string]Position) ConsumerOption {
	positions = maps.Clone(positions)
	return consumerOption(func(cfg *consumerConfig) { cfg.offsets = positions })
}

// Timeout ends the consumer after d without a message from any of its topics: Poll returns [ErrTimeout],
// Messages ends, and Run returns nil. The time that the caller takes for a message does not count. Default
// 0: it never ends.
func Timeout(d time.Duration) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.timeout = d })
}

// PollTime is the time from one poll of a topic to the next poll of the same topic. Default 0: the next poll
// follows at once, and long polling keeps it cheap; 1 s if long polling is switched off.
func PollTime(d time.Duration) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.pollTime = d })
}

// PollTimeAfterError is how long a topic is left alone after a passing failure. Default 0: the pauses of
// [Retry]. A Retry-After of the broker is waited for in any case.
func PollTimeAfterError(d time.Duration) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.pollTimeAfterError = d })
}

// Wait is how long the broker holds a poll that finds no message, in whole seconds of at most 60. Default
// 20 s; 0 switches long polling off.
func Wait(d time.Duration) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.wait = d })
}

// MaxMessages bounds the messages of one answer, per topic. Default 0: that of the broker, 100.
func MaxMessages(n int) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.maxMessages = n })
}

// MaxBytes bounds the messages and headers of one answer in bytes, per topic; one message is answered even
// above it. Default 0: that of the broker, 4 MiB.
func MaxBytes(n int) ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.maxBytes = n })
}

func newConsumerConfig(topics []string, opts []ConsumerOption) (consumerConfig, error) {
	cfg := consumerConfig{from: Beginning, wait: defaultWait}
	for _, o := range opts {
		o.applyConsumer(&cfg)
	}
	if cfg.name != "" {
		if err := checkName("cons_name", cfg.name); err != nil {
			return cfg, err
		}
	}
	if len(topics) == 0 {
		return cfg, invalid("topics", "there are none")
	}
	seen := make(map[string]bool, len(topics))
	for _, topic := range topics {
		if err := checkName("topic", topic); err != nil {
			return cfg, err
		}
		if seen[topic] {
			return cfg, invalid("topics", "%s is there twice", topic)
		}
		seen[topic] = true
	}
	for topic, position := range cfg.offsets {
		if !seen[topic] || position.Offset < 0 {
			return cfg, invalid("Offsets", "%s: not a topic of this consumer, or %d is negative", topic, position.Offset)
		}
	}
	if cfg.stream && (cfg.wait == 0 || cfg.pollTime > 0) {
		return cfg, invalid("Stream", "it cannot be had with PollTime, nor with a Wait of 0")
	}
	if cfg.wait == 0 && cfg.pollTime == 0 {
		cfg.pollTime = defaultPollTime
	}
	return cfg, cfg.validate()
}

func (cfg *consumerConfig) validate() error {
	switch {
	case cfg.timeout < 0:
		return invalid("Timeout", "%s is negative", cfg.timeout)
	case cfg.pollTime < 0:
		return invalid("PollTime", "%s is negative", cfg.pollTime)
	case cfg.pollTimeAfterError < 0:
		return invalid("PollTimeAfterError", "%s is negative", cfg.pollTimeAfterError)
	}
	if err := checkPage(cfg.wait, cfg.maxMessages, cfg.maxBytes); err != nil {
		return err
	}
	return cfg.from.check("From")
}

// checkPage refuses bounds of an answer that cannot be.
func checkPage(wait time.Duration, maxMessages, maxBytes int) error {
	switch {
	case wait < 0 || wait > maxWait || wait%time.Second != 0:
		return invalid("Wait", "%s is not a whole number of seconds from 0 to 60", wait)
	case maxMessages < 0:
		return invalid("MaxMessages", "%d is negative", maxMessages)
	case maxBytes < 0:
		return invalid("MaxBytes", "%d is negative", maxBytes)
	}
	return nil
}
