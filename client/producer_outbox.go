package client

import (
	"context"
	"fmt"

	"github.com/topiq/topiq/gen/wire"
)

// Outbox makes a named producer keep each message in a file, synced, from before its first send until it is known
// to be stored. The next producer with the file sends what an earlier life has left, in order and under the same
// seq, before anything else; so each message that reached the file is stored exactly once, also if the process is
// killed or the power fails (P1, P4). It is for sources that cannot be read again: one that can, such as a file,
// needs none, see [Producer.NextSeq].
//
// A message goes into the file together with all that is sent in one request: one write and one sync of the disk
// for all of them. An error of Send then means one of three things:
//
//   - [ErrInOutbox]: it is in the file, so this producer will send it, or the next one with the file. Do not send it
//     again. This is so when ctx ends, the producer is closed, fenced or stopped while the message is under way.
//   - [ErrOutcomeUnknown] without ErrInOutbox: ctx ended while it was being written, or the disk failed. Whether
//     it will be sent is not known. [Producer.Flush] tells the former from the latter.
//   - Neither: it was not sent and will not be. It was still waiting for its turn; or the broker refused the
//     message itself ([ErrMessageTooLarge], [ErrRequestTooLarge], [ErrInvalidRequest]), upon which it has left the
//     file.
//
// Every other refusal stops the producer, with the messages in the file. If a message that an earlier life left is
// refused, there is no Send to tell; Flush or Close returns the error.
//
// The file belongs to one topic and name, and to one producer at a time: path.lock beside it is locked, and path.new
// is written from time to time. It holds what is not stored and a few MiB more. Keep it on a local disk that does
// what a sync asks for. Errors of [Client.Producer] with an outbox, none of which changes the file:
//
//   - [ErrOutboxBusy]: another producer uses it.
//   - [ErrOutboxDamaged]: it is not what was written. A tail that was not synced is no damage, and is cut off.
//   - [ErrInvalidRequest]: it belongs to another topic or name.
//   - [ErrIncarnationChanged]: it has messages of another history of the topic (P13). Move it away to go on
//     without them.
//   - [ErrSeqGap]: the topic has lost messages that were stored.
//
// If somebody else used the name after the last life, a message of the file may find its seq taken. The producer
// then stops with [ErrSeqReused], and the messages stay in the file. An error of the disk stops it as well (I21).
func Outbox(path string) ProducerOption {
	return producerOption(func(cfg *producerConfig) { cfg.outbox = path })
}

// openOutbox opens that of the option, before the register: a file that is refused must not fence anybody.
func (cfg *producerConfig) openOutbox(topic string) (*outbox, error) {
	if cfg.outbox == "" {
		return nil, nil //nolint:nilnil // none is a value
	}
	o, err := openOutbox(cfg.disk, cfg.outbox, topic, cfg.name)
	if err == nil {
		o.slack = cfg.outboxSlack
	}
	return o, err
}

// adopt takes over what an earlier life has left in the outbox. Nobody waits for the results.
func (p *Producer) adopt(r *wire.RegisterProducerResult) error {
	if p.outbox == nil {
		return nil
	}
	if err := p.outbox.adopt(p.topic, p.cfg.name, r); err != nil {
		return err
	}
	if p.left = len(p.outbox.pending); p.left == 0 {
		return nil
	}
	raws := make([][]byte, p.left)
	for i, m := range p.outbox.pending {
		raws[i] = m.raw
	}
	d := newDelivery(raws, nil)
	d.gone = true
	for i, it := range d.items {
		it.kept, it.seq = true, p.outbox.pending[i].seq
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.queue.add(d)
	return nil
}

// Leftover is how many messages an earlier life had left in the [Outbox] when the producer started. They are sent
// before all others; Flush waits for them.
func (p *Producer) Leftover() int { return p.left }

// keep puts messages into the outbox whose turn it is. They are not sent if it fails.
func (p *Producer) keep(items []*item) error {
	if p.outbox == nil || items[0].kept {
		return nil
	}
	seq := p.queue.seqOf(items[0])
	raws := make([][]byte, len(items))
	for i, it := range items {
		raws[i] = it.raw
	}
	if err := p.outbox.keep(seq, raws); err != nil {
		return err
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	for i, it := range items {
		it.kept, it.seq = true, seq+int64(i)
	}
	return nil
}

// forget notes in the outbox that messages are stored. If it cannot, they are stored all the same, and the producer
// stops before the next ones.
func (p *Producer) forget(results []Result) {
	if p.outbox == nil {
		return
	}
	if err := p.outbox.stored(results[len(results)-1].Seq + 1); err != nil {
		p.stop(err)
	}
}

// leaves takes a message out of the outbox that the broker has refused. Those behind it move up.
func (p *Producer) leaves(items []*item, refusal error) {
	if p.outbox == nil {
		return
	}
	it := items[0] // alone
	if it.seq < p.outbox.covered {
		// It was to be compared with what is stored under its seq, so it keeps this seq.
		p.stop(fmt.Errorf("message %d of an earlier life cannot be compared with what is stored: %w", it.seq, refusal))
		return
	}
	if err := p.outbox.refused(it.seq); err != nil {
		p.stop(err)
		return
	}
	p.queue.leftOutbox(it)
}

func (q *queue) leftOutbox(left *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left.kept = false
	for _, items := range [][]*item{q.sent, q.waiting} {
		for _, it := range items {
			if it.kept && it.seq > left.seq {
				it.seq--
			}
		}
	}
}

// explain adds to the error of a message that it is in the outbox.
func (it *item) explain(err error) error {
	if !it.kept {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInOutbox, err)
}

func (p *Producer) closeOutbox(ctx context.Context) {
	if p.outbox == nil {
		return
	}
	if err := p.outbox.close(); err != nil {
		// Everything that matters was synced before.
		p.client.log.WarnContext(ctx, "topiq: the outbox was not closed", "path", p.cfg.outbox, "error", err)
	}
}
