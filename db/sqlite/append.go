package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// Append implements service.MessageStore in the order of P3. The lock of (a) and (b) is BEGIN's.
func (s *Store) Append(
	ctx context.Context, requests []service.AppendRequest, now time.Time,
) (service.AppendPlan, error) {
	if err := fault.Point("produce.before_begin"); err != nil {
		return service.AppendPlan{}, service.ErrUnavailable.Because(err)
	}
	var plan service.AppendPlan
	err := s.writer.doAppend(ctx, func(ctx context.Context, tx *tx) error {
		state, err := tx.appendState(ctx, requests)
		if err != nil {
			return err
		}
		if err := fault.Point("produce.after_lock"); err != nil {
			return err
		}
		if err := service.CheckDatabase(state.Heads); err != nil {
			return err
		}
		plan = service.PlanAppend(requests, state, now)
		if err := fault.Point("produce.after_check"); err != nil {
			return err
		}
		if len(plan.Topics) == 0 && len(plan.Producers) == 0 {
			return errUnchanged
		}
		if err := tx.store(ctx, &plan); err != nil {
			return err
		}
		return fault.Point("produce.before_commit")
	})
	if err != nil {
		return service.AppendPlan{}, err
	}
	if err := fault.Point("produce.after_commit_before_reply"); err != nil {
		return service.AppendPlan{}, service.ErrOutcomeUnknown.Because(err)
	}
	return plan, nil
}

// appendState reads what a group is decided on (P3 a–c).
func (t *tx) appendState(ctx context.Context, requests []service.AppendRequest) (service.AppendState, error) {
	state := service.AppendState{
		Producers: map[service.ProducerID]*service.Producer{},
		Named:     map[service.NamedProducer]*service.Producer{},
	}
	topics := make([]service.TopicID, len(requests))
	for i := range requests {
		topics[i] = requests[i].Topic
	}
	var err error
	if state.Heads, err = t.heads(ctx, topics); err != nil {
		return state, err
	}
	if err := t.readProducers(ctx, requests, &state); err != nil {
		return state, err
	}
	state.Stored, err = t.stored(ctx, requests, state.Duplicates(requests))
	return state, err
}

// heads reads those of the given topics that exist.
func (t *tx) heads(ctx context.Context, ids []service.TopicID) (map[service.TopicID]service.Head, error) {
	parameter, err := jsonOf(distinct(ids))
	if err != nil {
		return nil, err
	}
	rows, err := t.GetHeads(ctx, parameter)
	if err != nil {
		return nil, err
	}
	heads := make(map[service.TopicID]service.Head, len(rows))
	for _, row := range rows {
		head := headOf(litesql.GetHeadRow(row))
		heads[head.ID] = head
	}
	return heads, nil
}

// readProducers reads the producers that were sent by id, and those of the names.
func (t *tx) readProducers(ctx context.Context, requests []service.AppendRequest, state *service.AppendState) error {
	ids := make([]service.ProducerID, len(requests))
	for i := range requests {
		ids[i] = requests[i].Producer
	}
	parameter, err := jsonOf(distinct(ids))
	if err != nil {
		return err
	}
	rows, err := t.LockProducers(ctx, parameter)
	if err != nil {
		return err
	}
	byID, err := all(rows, producerOf)
	if err != nil {
		return err
	}
	for _, p := range byID {
		state.Producers[p.ID] = &p
		if p.Name != "" {
			state.Named[service.NamedProducer{Topic: p.Topic, Name: p.Name}] = &p
		}
	}
	return t.readNamed(ctx, requests, state)
}

// readNamed reads the rows of those names that no id has led to.
func (t *tx) readNamed(ctx context.Context, requests []service.AppendRequest, state *service.AppendState) error {
	asked := map[service.NamedProducer]bool{}
	var keys [][2]any
	for i := range requests {
		r := &requests[i]
		key := service.NamedProducer{Topic: r.Topic, Name: r.ProducerName(state.Producers[r.Producer])}
		if _, known := state.Named[key]; known || key.Name == "" || asked[key] {
			continue
		}
		asked[key] = true
		keys = append(keys, [2]any{key.Topic, key.Name})
	}
	if len(keys) == 0 {
		return nil
	}
	parameter, err := jsonOf(keys)
	if err != nil {
		return err
	}
	rows, err := t.LockNamedProducers(ctx, parameter)
	if err != nil {
		return err
	}
	byName, err := all(rows, producerOf)
	if err != nil {
		return err
	}
	for _, p := range byName {
		state.Named[service.NamedProducer{Topic: p.Topic, Name: p.Name}] = &p
	}
	return nil
}

// stored reads the messages found under seqs that were seen before.
func (t *tx) stored(
	ctx context.Context, requests []service.AppendRequest, seqs []service.SeqKey,
) (map[service.SeqKey]service.Message, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	// The longest payload sent under a seq, whoever sent it: to compare with longer ones than
	// needed is harmless.
	longest := map[[2]int64]int{}
	for i := range requests {
		r := &requests[i]
		for j := range r.Payloads {
			at := [2]int64{int64(r.Topic), r.Seq + int64(j)}
			longest[at] = max(longest[at], len(r.Payloads[j].Bytes))
		}
	}
	keys := make([][4]any, len(seqs))
	for i, k := range seqs {
		keys[i] = [4]any{k.Topic, k.Name, k.Seq, longest[[2]int64{int64(k.Topic), k.Seq}]}
	}
	parameter, err := jsonOf(keys)
	if err != nil {
		return nil, err
	}
	rows, err := t.FindStored(ctx, parameter)
	if err != nil {
		return nil, err
	}
	stored := make(map[service.SeqKey]service.Message, len(rows))
	for _, row := range rows {
		m, err := messageOf(messageRow{
			row.Offset, row.ProdName, row.Seq, row.IsBinary, row.Payload, row.Headers, row.CreatedAt, sql.NullInt64{},
		})
		if err != nil {
			return nil, err
		}
		key := service.NamedProducer{Topic: service.TopicID(row.TopicID), Name: m.ProdName}
		stored[service.SeqKey{NamedProducer: key, Seq: m.Seq}] = m
	}
	return stored, nil
}

// store writes a plan (P3 d–f).
func (t *tx) store(ctx context.Context, plan *service.AppendPlan) error {
	for i := range plan.Topics {
		if err := t.insert(ctx, &plan.Topics[i]); err != nil {
			return err
		}
	}
	if err := fault.Point("produce.after_insert"); err != nil {
		return err
	}
	for i := range plan.Topics {
		head := &plan.Topics[i].Head
		if err := affected(t.AdvanceHead(ctx, litesql.AdvanceHeadParams{
			Bucket: bucketOf(head.ID), TopicID: int64(head.ID), Bytes: head.Bytes,
			FromOffset: int64(head.Next) - int64(len(plan.Topics[i].Messages)), NextOffset: int64(head.Next),
			LastAppend: micros(head.LastAppend),
		})); err != nil {
			return err
		}
	}
	for i := range plan.Producers {
		if err := t.advance(ctx, &plan.Producers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) advance(ctx context.Context, p *service.ProducerAdvance) error {
	bucket := bucketOf(p.Topic)
	if p.Exists {
		return affected(t.AdvanceProducer(ctx, litesql.AdvanceProducerParams{
			Bucket: bucket, TopicID: int64(p.Topic), Name: named(p.Name),
			NextSeq: p.NextSeq, LastOffset: int64(p.LastOffset), Added: p.AddCount,
		}))
	}
	id, err := t.newID(ctx, bucket)
	if err != nil {
		return err
	}
	return affected(t.CountUnderName(ctx, litesql.CountUnderNameParams{
		Bucket: bucket, ProducerID: id, TopicID: int64(p.Topic), Name: named(p.Name), Added: p.AddCount,
	}))
}
