package client

import (
	"context"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// nowhere is an offset that no message gets, for it is the last that can be written.
const nowhere = maxOffset

// lookUp finds out whether a batch is stored whose producer was fenced (P10) while it was in doubt:
//
//	an attempt is sent and its answer is lost
//	another session of the name opens
//	the attempt is repeated, and refused: this session is over
//
// The first attempt may have stored the batch before the other session opened; nothing of this session can be
// stored any more. So the question has a lasting answer. It is asked by sending the messages once more,
// without an epoch, which would be refused, and with an expected offset that no message can get. The broker
// compares with what is stored under these seq before it looks at that offset (P4): all stored gives their
// offsets, another message under one of them is seq_reused, and where anything would have to be appended the
// answer is append_conflict. Under no circumstances does the question store anything.
//
// It returns the results, or a refusal without doubt, or doubt if the question stays without an answer.
func (p *Producer) lookUp(ctx context.Context, b *batch, doubt error) (*wire.ProduceResult, error) {
	body, err := p.encodeBatch(b.items, wire.ProduceRequest{Seq: &b.seq, ExpectedOffset: new(nowhere)})
	if err != nil {
		return nil, doubt
	}
	r, err := retry(ctx, p.client, true, func(ctx context.Context) (*wire.ProduceResult, error) {
		return exchange(ctx, p.client, operation{name: "produce"},
			func(ctx context.Context, to *broker) (*http.Response, error) {
				return to.ProduceWithBody(ctx, "application/json", newBody(body))
			}, func(r *wire.ProduceResult) error { return b.check(p, r) })
	})
	switch {
	case err == nil:
		// The batch is stored, but the next one will be refused, and its Send is told then.
		return r, nil
	case asError(err).hasCode(wire.FailureCodeSeqReused, wire.FailureCodeAppendConflict):
		return nil, asError(doubt).cause // the refusal alone
	default:
		return nil, doubt
	}
}
