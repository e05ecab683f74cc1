package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/topiq/topiq/gen/wire"
)

const (
	// NoOffset is the offset of a message that has none, or whose offset retention has removed.
	NoOffset int64 = -1
	// NoSeq is the seq of a message of a producer without a name (P6).
	NoSeq int64 = -1
)

// Result is what became of a message that was sent.
type Result struct {
	// Offset is the position of the message in its topic, or [NoOffset] if retention has removed the message
	// before a repeated request learned it.
	Offset int64
	// Seq is the producer's own number of the message, or [NoSeq].
	Seq int64
	// Duplicate says that an earlier attempt had stored the message and only its answer was lost. The
	// message is stored once all the same.
	Duplicate bool
	// Durable is what the message survives.
	Durable Durability
	// Err says why this message of a SendBatch was not stored, or that it is not known. The other fields
	// then mean nothing.
	Err error
}

// Producer sends messages to one topic, in the order of Send. It is safe for concurrent use: what many
// goroutines send while a request is under way leaves together with the next one. At most one request is
// under way at any time.
//
// With a [Name] each message is stored exactly once while the producer lives: it gets the next number of
// the name (P1), and its request is repeated, byte for byte, until it is answered. If a later session of the
// name took over, the producer stops with [ErrProducerFenced] and never registers again by itself (P10); of
// messages that an earlier attempt may have stored before that, it still finds out whether they are. It also stops if the topic is gone or its history may have changed ([ErrIncarnationChanged], P13), and with
// [ErrOutcomeUnknown] if a request was refused after an earlier attempt had got no answer. After a stop,
// open a new producer if that is right: its NextSeq tells what was stored.
//
// Without a name a message is stored at least once if the caller repeats it, for the producer cannot tell a
// repeated message from a new one (P6). It repeats a request by itself only if nothing was stored for
// certain: no connection, rate_limited or request_timeout. Otherwise Send returns ErrOutcomeUnknown.
type Producer struct {
	client *Client
	topic  string
	cfg    producerConfig

	id          int64
	epoch       int64
	incarnation string

	outbox    *outbox // nil without one
	left      int     // messages in it at the start
	queue     queue
	ended     chan struct{} // closed when run has returned
	cancel    context.CancelFunc
	closeOnce sync.Once
}

// Producer registers a producer for a topic and creates the topic if it is missing. With a [Name] it opens a
// session, which fences an earlier one of that name; a lost answer is harmless, for the register carries a
// random instance and is repeated with it (P2). Close the producer in the end. ctx bounds only this call.
//
// Errors: [ErrInvalidRequest] for a name or an option that cannot work; [ErrProducerFenced] if somebody else
// opened a session of the name while this register was retried; those of an [Outbox].
func (c *Client) Producer(ctx context.Context, topic string, opts ...ProducerOption) (*Producer, error) {
	if err := checkName("topic", topic); err != nil {
		return nil, err
	}
	cfg, err := newProducerConfig(opts)
	if err != nil {
		return nil, err
	}
	box, err := cfg.openOutbox(topic)
	if err != nil {
		return nil, err
	}
	p, err := c.openProducer(ctx, topic, cfg, box)
	if err != nil && box != nil {
		err = errors.Join(err, box.close())
	}
	return p, err
}

// openProducer registers and starts a producer.
func (c *Client) openProducer(ctx context.Context, topic string, cfg producerConfig, box *outbox) (*Producer, error) {
	r, err := c.registerProducer(ctx, topic, cfg.name)
	if err != nil {
		return nil, err
	}
	p := &Producer{
		client: c, topic: topic, cfg: cfg, id: r.ProducerID, epoch: NoSeq, incarnation: r.Incarnation,
		outbox: box, ended: make(chan struct{}),
	}
	p.queue = queue{
		maxMessages: cfg.bufferedMessages, maxBytes: cfg.bufferedBytes,
		changed: make(chan struct{}, 1), next: NoSeq, last: NoOffset,
	}
	if p.named() {
		p.epoch, p.queue.next = *r.Epoch, *r.NextSeq
	}
	if r.LastOffset != nil {
		p.queue.last = *r.LastOffset
	}
	if err := p.adopt(r); err != nil {
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives ctx; Close ends it
	p.cancel = cancel
	if err := c.track(p); err != nil {
		cancel()
		return nil, err
	}
	go p.run(runCtx)
	return p, nil
}

// registerProducer makes the call, with an empty name or in a new session of the name.
func (c *Client) registerProducer(ctx context.Context, topic, name string) (*wire.RegisterProducerResult, error) {
	request := wire.RegisterProducerRequest{Topic: topic}
	if name != "" {
		instance := rand.Text() // of this session; every retry of this register repeats it
		request.ProdName, request.Instance = &name, &instance
	}
	return retry(ctx, c, name != "", func(ctx context.Context) (*wire.RegisterProducerResult, error) {
		return exchange(ctx, c, operation{name: "register producer", changes: true},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.RegisterProducer(ctx, request)
			},
			func(r *wire.RegisterProducerResult) error {
				if name != "" && (r.Epoch == nil || r.NextSeq == nil) {
					return errors.New("epoch or next_seq is missing")
				}
				return answered(r.Status)
			})
	})
}

func (p *Producer) named() bool { return p.cfg.name != "" }

// Send sends a message and waits until it is stored. The bytes of the message are copied.
//
// If ctx ends while the message still waits for its turn, the message is taken back and was not sent: the
// error is that of ctx. If ctx ends while the message is under way, the error is also [ErrOutcomeUnknown]:
// the message keeps its place and its seq, and the producer goes on with it. If it is refused in the end, or
// its outcome stays unknown, the next Flush or Close returns that error; if they return none, it is stored. A
// message that the broker refuses is not stored and takes no seq.
//
// Errors: [ErrInvalidRequest] for text that is not UTF-8; [ErrMessageTooLarge]; [ErrClosed]; and those that
// stop a producer, see [Producer]. With an [Outbox], an error that matches [ErrInOutbox] is about a message that
// will be sent all the same.
func (p *Producer) Send(ctx context.Context, m Message) (Result, error) {
	results, err := p.SendBatch(ctx, []Message{m})
	if err != nil {
		return Result{Offset: NoOffset, Seq: NoSeq}, err
	}
	return results[0], nil
}

// SendBatch sends messages that follow each other in the topic's order of this producer, and waits until
// all are stored or refused. They are not stored as one: a large batch takes several requests, and another
// producer's messages may come between. The error is the first of the messages' own ones; there are then
// still as many results as messages, unless nothing was sent at all. Otherwise as [Producer.Send].
func (p *Producer) SendBatch(ctx context.Context, messages []Message) ([]Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	if len(messages) == 0 {
		return nil, nil
	}
	messages, spans := p.traceSends(ctx, messages)
	results, err := p.sendBatch(ctx, messages, spans)
	endSends(spans, results, err)
	return results, err
}

// sendBatch is SendBatch for messages with the headers of their spans.
func (p *Producer) sendBatch(ctx context.Context, messages []Message, spans []Span) ([]Result, error) {
	raws := make([][]byte, len(messages))
	for i := range messages {
		raw, err := messages[i].encode(p.cfg.headers)
		if err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(messages), err)
		}
		raws[i] = raw
	}
	d := newDelivery(raws, spans)
	if err := p.queue.put(ctx, d); err != nil {
		return nil, err
	}
	var results []Result
	select {
	case <-d.done:
		results = d.results
	case <-ctx.Done():
		results = p.queue.leave(d, ctx.Err())
	}
	if i := slices.IndexFunc(results, func(r Result) bool { return r.Err != nil }); i >= 0 {
		return results, results[i].Err
	}
	return results, nil
}

// Topic is the topic of the producer.
func (p *Producer) Topic() string { return p.topic }

// Epoch is the number of the session; −1 without a name.
func (p *Producer) Epoch() int64 { return p.epoch }

// Incarnation is that of the topic. Every message is stored under it, or not at all (P13).
func (p *Producer) Incarnation() string { return p.incarnation }

// NextSeq is the seq that the next message gets, if none before it is refused; −1 without a name. Right
// after the start it says how much of the name is stored: a producer whose source can be read again from
// any position goes on in it there.
func (p *Producer) NextSeq() int64 { return p.queue.promisedSeq() }

// LastOffset is the offset of the last message of this producer that is known to be stored, earlier sessions
// of its name included; [NoOffset] if there is none.
func (p *Producer) LastOffset() int64 { return p.queue.lastOffset() }

func newBody(b []byte) io.Reader { return bytes.NewReader(b) }
