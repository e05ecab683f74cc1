package client

import (
	"maps"
	"time"
)

// Defaults and limits of a producer.
const (
	defaultBatchMessages    = 1000
	defaultBatchBytes       = 1 << 20
	defaultBufferedMessages = 10_000
	defaultBufferedBytes    = 32 << 20
	maxBatchMessages        = 10_000 // the broker's default limit of a request
)

// ProducerOption configures a [Producer].
type ProducerOption interface {
	applyProducer(cfg *producerConfig)
}

// SharedOption is an option of producers and consumers.
type SharedOption interface {
	ProducerOption
	ConsumerOption
}

type producerConfig struct {
	name             string
	maxTimeout       time.Duration
	batchMessages    int
	batchBytes       int
	linger           time.Duration
	bufferedMessages int
	bufferedBytes    int
	headers          map[string]string
	stopAtRefusal    bool
	outbox           string
	outboxSlack      int64 // bytes
	disk             outboxDisk
}

type producerOption func(*producerConfig)

func (o producerOption) applyProducer(cfg *producerConfig) { o(cfg) }

type nameOption string

func (o nameOption) applyProducer(cfg *producerConfig) { cfg.name = string(o) }
func (o nameOption) applyConsumer(cfg *consumerConfig) { cfg.name = string(o) }

// Name gives a producer or a consumer a name that is stable over restarts: 1 to 128 letters, digits, dots,
// underscores and hyphens. The default is no name.
//
// For a producer it is the prod_name, and the key to exactly once: messages are numbered, and a repeated one
// is stored once (P1, P4). One name is for one living producer per topic: opening a second one fences the
// first, which then stops with [ErrProducerFenced] (P10).
//
// For a consumer it is the cons_name: the broker keeps its position, and a later consumer of this name goes
// on there. One name is for one living consumer per topic.
func Name(name string) SharedOption { return nameOption(name) }

// MaxTimeout makes the producer wait before each request, for a random time of at most d. It spreads the
// load of many producers, or imitates one. Messages sent meanwhile join the request. Default 0: no wait.
func MaxTimeout(d time.Duration) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.maxTimeout = d })
}

// MaxBatchMessages bounds the messages of one request. Default 1000, at most 10,000.
func MaxBatchMessages(n int) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.batchMessages = n })
}

// MaxBatchBytes bounds the messages of one request in bytes, as they are encoded. A single message may be
// larger. Default 1 MiB; the broker takes requests of up to 8 MiB by default.
func MaxBatchBytes(n int) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.batchBytes = n })
}

// Linger makes the producer wait up to d for more messages before it sends a request that is not full.
// Flush and Close cut it short. Default 0: a request leaves as soon as the one before it is answered, and
// takes everything that was sent meanwhile, so requests grow with the load by themselves.
func Linger(d time.Duration) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.linger = d })
}

// MaxBuffered bounds the messages that are not answered yet, by number and by encoded bytes. Send and
// SendBatch wait for room, in order of arrival; a batch larger than the buffer waits until it is empty.
// Default 10,000 messages and 32 MiB.
func MaxBuffered(messages, bytes int) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.bufferedMessages, cfg.bufferedBytes = messages, bytes })
}

// Headers go with each message of the producer. A header of the same name of a message replaces them.
func Headers(headers map[string]string) ProducerOption {
	headers = maps.Clone(headers)
	return producerOption(func(cfg *producerConfig) { cfg.headers = headers })
}

// StopAtRefusal makes the producer stop at the first message that the broker refuses, instead of going on
// with those behind it. A refused message takes no seq; so if the seq of a message is to be its position in a
// file or a table, the messages behind a refused one must not be sent.
func StopAtRefusal() ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.stopAtRefusal = true })
}

func newProducerConfig(opts []ProducerOption) (producerConfig, error) {
	cfg := producerConfig{
		batchMessages: defaultBatchMessages, batchBytes: defaultBatchBytes,
		bufferedMessages: defaultBufferedMessages, bufferedBytes: defaultBufferedBytes,
		disk: systemDisk{}, outboxSlack: outboxSlack,
	}
	for _, o := range opts {
		o.applyProducer(&cfg)
	}
	if cfg.name != "" {
		if err := checkName("prod_name", cfg.name); err != nil {
			return cfg, err
		}
	}
	switch {
	case cfg.outbox != "" && cfg.name == "":
		return cfg, invalid("Outbox", "it needs a Name")
	case cfg.outbox != "" && cfg.stopAtRefusal:
		return cfg, invalid("Outbox", "not with StopAtRefusal, for what is in the outbox behind a refused message is sent")
	case cfg.maxTimeout < 0:
		return cfg, invalid("MaxTimeout", "%s is negative", cfg.maxTimeout)
	case cfg.linger < 0:
		return cfg, invalid("Linger", "%s is negative", cfg.linger)
	case cfg.batchMessages < 1 || cfg.batchMessages > maxBatchMessages:
		return cfg, invalid("MaxBatchMessages", "%d is not in 1 … %d", cfg.batchMessages, maxBatchMessages)
	case cfg.batchBytes < 1:
		return cfg, invalid("MaxBatchBytes", "%d is not above 0", cfg.batchBytes)
	case cfg.bufferedMessages < 1 || cfg.bufferedBytes < 1:
		return cfg, invalid("MaxBuffered", "%d messages and %d bytes are not above 0",
			cfg.bufferedMessages, cfg.bufferedBytes)
	}
	return cfg, nil
}
