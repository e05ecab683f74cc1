package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Append implements service.MessageStore. A group that goes on where the last ones of this store have ended costs two
// round trips: BEGIN with all writes, which hold the rows to what was left behind, and COMMIT (writeKnown). Every other
// costs three, BEGIN with all locks, all writes, COMMIT; one more when it repeats seqs that were seen before.
func (s *Store) Append(
	ctx context.Context, requests []service.AppendRequest, now time.Time,
) (service.AppendPlan, error) {
	var (
		state service.AppendState
		plan  service.AppendPlan
		tried bool // to go on from what is known
	)
	decide := func(state service.AppendState) service.AppendPlan { return service.PlanAppend(requests, state, now) }
	err := s.writeAppend(ctx, func(ctx context.Context, u *unit) error {
		if err := fault.Point("produce.before_begin"); err != nil {
			return err
		}
		if !tried {
			tried = true
			var ok bool
			if state, plan, ok = s.planKnown(requests, decide); ok {
				return s.appendKnown(ctx, u, &state, &plan)
			}
		}
		return s.appendLocked(ctx, u, requests, decide, &state, &plan)
	})
	if err != nil {
		s.known.doubt(state.Heads)
		return service.AppendPlan{}, err
	}
	s.known.learn(&state, &plan)
	if err := fault.Point("produce.after_commit_before_reply"); err != nil {
		return service.AppendPlan{}, service.ErrOutcomeUnknown.Because(err)
	}
	s.hints.appended(plan.Topics)
	return plan, nil
}

// appendKnown is an append up to its COMMIT that goes on from what is known. errStale: it cannot.
func (s *Store) appendKnown(ctx context.Context, u *unit, state *service.AppendState, plan *service.AppendPlan) error {
	if err := writeKnown(ctx, u, state, plan); err != nil {
		if errors.Is(err, errStale) {
			s.known.doubt(state.Heads)
		}
		return err
	}
	return fault.Point("produce.before_commit")
}

// appendLocked is an append up to its COMMIT that knows nothing beforehand. The locks come first, in
// statements of their own, and each statement has a snapshot of its own. That is the whole trick:
// of two brokers that append the same seq at once one waits at the head, and reads only after the
// other has committed. With the look-up in the statement that locks, it would decide on what was
// there before it began to wait, and store the message a second time.
func (s *Store) appendLocked(
	ctx context.Context, u *unit, requests []service.AppendRequest,
	decide func(service.AppendState) service.AppendPlan, state *service.AppendState, plan *service.AppendPlan,
) (err error) {
	if *state, err = s.lockFor(requests)(ctx, u, split(requests)); err != nil {
		return err
	}
	if err := fault.Point("produce.after_lock"); err != nil {
		return err
	}
	if err := service.CheckDatabase(state.Heads); err != nil {
		return err
	}
	if err := readStored(ctx, u, requests, state); err != nil {
		return err
	}
	*plan = decide(*state)
	if err := fault.Point("produce.after_check"); err != nil {
		return err
	}
	steps, err := writePlan(u, plan, state.Named)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return errNothingToWrite // all refused
	}
	if err := u.run(ctx, steps...); err != nil {
		return err
	}
	return fault.Point("produce.before_commit")
}

// part is what a group has to do with one bucket, as sets of keys.
type part struct {
	bucket    service.Bucket
	topics    map[int64]bool
	producers map[int64]bool
	names     map[string]bool
}

// split parts a group by bucket, in order.
func split(requests []service.AppendRequest) []*part {
	parts := map[service.Bucket]*part{}
	for i := range requests {
		r := &requests[i]
		bucket := service.BucketOfID(r.Topic)
		p := parts[bucket]
		if p == nil {
			p = &part{
				bucket: bucket, topics: map[int64]bool{}, producers: map[int64]bool{}, names: map[string]bool{},
			}
			parts[bucket] = p
		}
		p.topics[int64(r.Topic)] = true
		p.producers[int64(r.Producer)] = true
		if r.ProdName != "" {
			p.names[r.ProdName] = true
		}
	}
	return inOrder(parts)
}

// inOrder lists the parts of a call by bucket: all transactions lock in this order.
func inOrder[P any](parts map[service.Bucket]*P) []*P {
	list := make([]*P, 0, len(parts))
	for _, bucket := range slices.Sorted(maps.Keys(parts)) {
		list = append(list, parts[bucket])
	}
	return list
}

// lockFunc is lockState, or what is tried in its place.
type lockFunc func(ctx context.Context, u *unit, parts []*part) (service.AppendState, error)

// lockState begins the transaction, locks the heads of all topics by (bucket, id), then the rows of
// the producers, and reads them (P3 a, b), all in one round trip: nothing is decided in between.
func lockState(ctx context.Context, u *unit, parts []*part) (service.AppendState, error) {
	state := emptyState()
	var steps []step
	for _, p := range parts {
		params := pgsql.LockHeadsParams{Bucket: int32(p.bucket), TopicIds: slices.Sorted(maps.Keys(p.topics))}
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.LockHeads(ctx, params)
			for _, row := range rows {
				state.Heads[service.TopicID(row.TopicID)] = toHead(headRow(row))
			}
			return err
		})
	}
	for _, p := range parts {
		steps = append(steps, p.lockProducers(&state)...)
	}
	return state, u.run(ctx, steps...)
}

func emptyState() service.AppendState {
	return service.AppendState{
		Heads:     map[service.TopicID]service.Head{},
		Producers: map[service.ProducerID]*service.Producer{},
		Named:     map[service.NamedProducer]*service.Producer{},
	}
}

func (p *part) lockProducers(state *service.AppendState) []step {
	ids := pgsql.LockProducersParams{
		Bucket: int32(p.bucket), ProducerIds: slices.Sorted(maps.Keys(p.producers)),
		TopicIds: slices.Sorted(maps.Keys(p.topics)),
	}
	keep := func(rows []pgsql.Producer, sent bool) {
		for _, found := range rows {
			row := toProducer(found)
			if sent {
				state.Producers[row.ID] = &row
			}
			if row.Name != "" {
				state.Named[service.NamedProducer{Topic: row.Topic, Name: row.Name}] = &row
			}
		}
	}
	steps := []step{func(ctx context.Context, q *pgsql.Queries) error {
		rows, err := q.LockProducers(ctx, ids)
		keep(rows, true)
		return err
	}}
	if len(p.names) == 0 {
		return steps
	}
	names := pgsql.LockNamedProducersParams{
		Bucket: int32(p.bucket), TopicIds: ids.TopicIds, Names: slices.Sorted(maps.Keys(p.names)),
	}
	return append(steps, func(ctx context.Context, q *pgsql.Queries) error {
		rows, err := q.LockNamedProducers(ctx, names)
		keep(rows, false)
		return err
	})
}
