package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// planKnown decides a group on what is known, if that is enough: if every message of it is new. A refusal and an
// answer to a repeat rest on rows that were read after the request had come, under their locks.
func (s *Store) planKnown(requests []service.AppendRequest, plan func(service.AppendState) service.AppendPlan) (
	state service.AppendState, planned service.AppendPlan, ok bool,
) {
	if s.spread || !goesOn() {
		return state, planned, false
	}
	if state, ok = s.known.state(requests); !ok {
		return state, planned, false
	}
	planned = plan(state)
	for i := range planned.Results {
		r := &planned.Results[i]
		if r.Err != nil || r.Duplicate || len(r.Ranges) != 1 || r.Ranges[0].Offset < 0 {
			return state, planned, false
		}
	}
	return state, planned, true
}

// writeKnown writes a plan that was made on what was known, with no lock. The statements that advance the heads and the
// producers take the locks, in the order of P3, and change only rows that are still what was known. Any other row means
// errStale, and nothing of the transaction stays.
//
// Another broker may be appending to the topic at this moment. Then the first statement waits for it to commit, as
// PostgreSQL does at READ COMMITTED, looks at the row once more as that has left it, finds another next_offset, and
// changes nothing. Or this is first, and the other one waits. What is compared are constants and the columns of the row
// that is locked: nothing that an older snapshot could answer for.
func writeKnown(ctx context.Context, u *unit, state *service.AppendState, plan *service.AppendPlan) error {
	w := &knownWrites{anonymous: map[service.Bucket]*pgsql.LockProducersParams{}}
	slices.SortFunc(plan.Topics, func(a, b service.TopicAppend) int { return byKey(a.Head.ID, b.Head.ID) })
	for i := range plan.Topics {
		w.addTopic(&plan.Topics[i], state.Heads[plan.Topics[i].Head.ID])
	}
	rows := make([]*service.Producer, len(plan.Producers))
	order := make([]int, len(plan.Producers))
	for i := range plan.Producers {
		rows[i], order[i] = state.Named[plan.Producers[i].NamedProducer], i
	}
	slices.SortFunc(order, func(a, b int) int { return byKey(rows[a].ID, rows[b].ID) })
	for _, i := range order {
		w.addProducer(&plan.Producers[i], rows[i])
	}
	for _, row := range state.Producers {
		if row.Name == "" {
			w.addAnonymous(row)
		}
	}
	return u.run(ctx, w.steps()...)
}

// byKey compares ids as the keys of their rows do: by bucket first.
func byKey[ID ~int64](a, b ID) int {
	return cmp.Or(cmp.Compare(service.BucketOfID(a), service.BucketOfID(b)), cmp.Compare(a, b))
}

// knownWrites is what a group writes, and what it takes for granted. All of its buckets go into one statement: a group of as
// many topics as messages would else run several statements for each message.
type knownWrites struct {
	messages  pgsql.InsertMessagesParams
	heads     pgsql.AdvanceHeadsAsKnownParams
	producers pgsql.AdvanceProducersAsKnownParams
	// anonymous are those who send and have no row that is advanced: that they exist is to be seen too.
	anonymous map[service.Bucket]*pgsql.LockProducersParams
}

func (w *knownWrites) addTopic(t *service.TopicAppend, head service.Head) {
	addMessages(&w.messages, t)
	h, to := &w.heads, &t.Head
	h.TopicIds = append(h.TopicIds, int64(to.ID))
	h.NextOffsets = append(h.NextOffsets, int64(to.Next))
	h.Bytes = append(h.Bytes, to.Bytes)
	h.LastAppends = append(h.LastAppends, to.LastAppend)
	h.KnownIncarnations = append(h.KnownIncarnations, head.Incarnation)
	h.KnownFirsts = append(h.KnownFirsts, int64(head.First))
	h.KnownNexts = append(h.KnownNexts, int64(head.Next))
	h.KnownBytes = append(h.KnownBytes, head.Bytes)
	h.KnownAppends = append(h.KnownAppends, head.LastAppend)
	h.KnownRates = append(h.KnownRates, head.Quota.BytesPerSecond)
	h.KnownQuotas = append(h.KnownQuotas, head.Quota.StoredBytes)
	h.KnownProducers = append(h.KnownProducers, head.Quota.Producers)
	h.KnownConsumers = append(h.KnownConsumers, head.Quota.Consumers)
}

func (w *knownWrites) addProducer(to *service.ProducerAdvance, row *service.Producer) {
	p := &w.producers
	p.ProducerIds = append(p.ProducerIds, int64(row.ID))
	p.NextSeqs = append(p.NextSeqs, to.NextSeq)
	p.LastOffsets = append(p.LastOffsets, int64(to.LastOffset))
	p.Added = append(p.Added, to.AddCount)
	p.KnownEpochs = append(p.KnownEpochs, row.Epoch)
	p.KnownSeqs = append(p.KnownSeqs, row.NextSeq)
	p.KnownOffsets = append(p.KnownOffsets, int64(row.LastOffset))
}

func (w *knownWrites) addAnonymous(row *service.Producer) {
	bucket := service.BucketOfID(row.ID)
	p := w.anonymous[bucket]
	if p == nil {
		p = &pgsql.LockProducersParams{Bucket: int32(bucket)}
		w.anonymous[bucket] = p
	}
	p.ProducerIds = append(p.ProducerIds, int64(row.ID))
	p.TopicIds = append(p.TopicIds, int64(row.Topic))
}

// steps are the statements. An update locks in the order of its arrays, which is that of P3. The messages come last: a
// producer whose row is another may have stored the same seq already.
func (w *knownWrites) steps() []step {
	var steps []step
	w.heads.MaxRows, w.producers.MaxRows = int64(len(w.heads.TopicIds)), int64(len(w.producers.ProducerIds))
	steps = append(steps, asKnown(len(w.heads.TopicIds), func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.AdvanceHeadsAsKnown(ctx, w.heads)
	}))
	for _, p := range inOrder(w.anonymous) {
		slices.Sort(p.ProducerIds)
		steps = append(steps, asKnown(len(p.ProducerIds), func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			rows, err := q.LockProducers(ctx, *p)
			return int64(len(rows)), err
		}))
	}
	if n := len(w.producers.ProducerIds); n > 0 {
		steps = append(steps, asKnown(n, func(ctx context.Context, q *pgsql.Queries) (int64, error) {
			return q.AdvanceProducersAsKnown(ctx, w.producers)
		}))
	}
	return append(steps, insertMessages(&w.messages))
}

// asKnown makes a step of a statement that finds so many rows unless something has changed.
func asKnown(rows int, exec func(context.Context, *pgsql.Queries) (int64, error)) step {
	return func(ctx context.Context, q *pgsql.Queries) error {
		n, err := exec(ctx, q)
		if err == nil && n != int64(rows) {
			err = errNotAsKnown
		}
		return err
	}
}

// errNotAsKnown is errStale of a group that was decided on what was known.
var errNotAsKnown = errors.Join(errors.New("a row is another than was known"), errStale)
