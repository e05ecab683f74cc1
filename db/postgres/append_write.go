package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// writes is what a group writes in one bucket.
type writes struct {
	messages pgsql.InsertMessagesParams
	heads    pgsql.AdvanceHeadsParams
	known    pgsql.AdvanceProducersParams
	fresh    pgsql.CountUnderNamesParams
}

// writePlan makes the statements for a plan: insert the messages, advance the heads, advance the
// producers (P3 d–f), bucket by bucket. None if nothing was accepted. named are the rows of the
// producers that exist.
func writePlan(
	u *unit, plan *service.AppendPlan, named map[service.NamedProducer]*service.Producer,
) ([]step, error) {
	parts := map[service.Bucket]*writes{}
	part := func(topic service.TopicID) *writes {
		bucket := service.BucketOfID(topic)
		w := parts[bucket]
		if w == nil {
			w = &writes{}
			w.heads.Bucket, w.known.Bucket, w.fresh.Bucket = int32(bucket), int32(bucket), int32(bucket)
			parts[bucket] = w
		}
		return w
	}
	for i := range plan.Topics {
		t := &plan.Topics[i]
		w := part(t.Head.ID)
		addMessages(&w.messages, t)
		w.advanceHead(&t.Head)
	}
	// By name, for rows that are not there yet have no other order to be inserted in.
	producers := slices.SortedFunc(slices.Values(plan.Producers), func(a, b service.ProducerAdvance) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Name, b.Name))
	})
	var failed error
	for i := range producers {
		p := &producers[i]
		if err := part(p.Topic).advance(u, p, named[p.NamedProducer]); err != nil {
			failed = err // go on, so that all ids are asked for at once
		}
	}
	if failed != nil {
		return nil, failed
	}
	var steps []step
	for _, w := range inOrder(parts) {
		steps = append(steps, w.steps()...)
	}
	return steps, nil
}

func addMessages(m *pgsql.InsertMessagesParams, t *service.TopicAppend) {
	for i := range t.Messages {
		msg := &t.Messages[i]
		payload := msg.Bytes
		if payload == nil {
			payload = []byte{} // a nil slice would be NULL
		}
		m.TopicIds = append(m.TopicIds, int64(t.Head.ID))
		m.Offsets = append(m.Offsets, int64(msg.Offset))
		m.ProdNames = append(m.ProdNames, msg.ProdName)
		m.Seqs = append(m.Seqs, msg.Seq)
		m.IsBinary = append(m.IsBinary, msg.Binary)
		m.Sizes = append(m.Sizes, msg.Size())
		m.Payloads = append(m.Payloads, payload)
		headers := msg.Headers.Encode()
		m.Headers = append(m.Headers, headers)
		m.CreatedAt = append(m.CreatedAt, msg.CreatedAt)
		m.Checksums = append(m.Checksums, int64(service.Checksum(t.Head.ID, msg, headers)))
	}
}

func (w *writes) advanceHead(to *service.Head) {
	h := &w.heads
	h.TopicIds = append(h.TopicIds, int64(to.ID))
	h.NextOffsets = append(h.NextOffsets, int64(to.Next))
	h.Bytes = append(h.Bytes, to.Bytes)
	h.LastAppends = append(h.LastAppends, to.LastAppend)
}

// advance takes in the new state of a producer; row is nil if it has none yet.
func (w *writes) advance(u *unit, p *service.ProducerAdvance, row *service.Producer) error {
	if p.Exists {
		k := &w.known
		k.ProducerIds = append(k.ProducerIds, int64(row.ID))
		k.NextSeqs = append(k.NextSeqs, p.NextSeq)
		k.LastOffsets = append(k.LastOffsets, int64(p.LastOffset))
		k.Added = append(k.Added, p.AddCount)
		return nil
	}
	newID, err := u.ids.next(service.BucketOfID(p.Topic))
	if err != nil {
		return err
	}
	f := &w.fresh
	f.ProducerIds = append(f.ProducerIds, newID)
	f.TopicIds = append(f.TopicIds, int64(p.Topic))
	f.Names = append(f.Names, p.Name)
	f.Added = append(f.Added, p.AddCount)
	return nil
}

// steps are the statements that have rows. Each must write as many as were planned: anything else
// means that a lock was not held.
func (w *writes) steps() []step {
	var steps []step
	add := func(rows int, what string, exec func(context.Context, *pgsql.Queries) (int64, error)) {
		if rows > 0 {
			steps = append(steps, exactly(rows, what, exec))
		}
	}
	if len(w.messages.Offsets) > 0 {
		steps = append(steps, insertMessages(&w.messages))
	}
	add(len(w.heads.TopicIds), "advance heads", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.AdvanceHeads(ctx, w.heads)
	})
	add(len(w.known.ProducerIds), "advance producers", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.AdvanceProducers(ctx, w.known)
	})
	add(len(w.fresh.TopicIds), "count under names", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.CountUnderNames(ctx, w.fresh)
	})
	return steps
}

func insertMessages(m *pgsql.InsertMessagesParams) step {
	return exactly(len(m.Offsets), "insert messages", func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		n, err := q.InsertMessages(ctx, *m)
		if err == nil { // it was run, not noted down
			err = fault.Point("produce.after_insert")
		}
		return n, err
	})
}
