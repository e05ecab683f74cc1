package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Move implements service.ConsumerStore. A group that goes on where the last ones of this store have ended costs two round
// trips: BEGIN with all writes, which hold the rows to what was left behind, and COMMIT (writeKnownMoves). Every other costs
// three, BEGIN with the locks on the consumers and a look at the heads, the new positions, COMMIT; and one more for each run
// of messages that tail does not have and that was not read ahead.
func (s *Store) Move(
	ctx context.Context, requests []service.MoveRequest, tail service.ReadFunc, now time.Time,
) ([]service.MoveResult, error) {
	var (
		state service.MoveState
		plan  service.MovePlan
		tried bool // to go on from what is known
	)
	decide := func(state service.MoveState, read service.ReadFunc) (service.MovePlan, error) {
		return service.PlanMoves(requests, state, s.ahead.Reader(tail, read), now)
	}
	err := s.write(ctx, func(ctx context.Context, u *unit) (err error) {
		if !tried && !s.spread {
			tried = true
			var ok bool
			if state, plan, ok = s.moved.plan(requests, decide); ok {
				return s.moveKnown(ctx, u, requests, &state, &plan)
			}
		}
		return moveLocked(ctx, u, requests, decide, &state, &plan)
	})
	if err != nil {
		s.moved.doubt(state.Consumers)
		return nil, err
	}
	s.moved.learn(&state, &plan)
	return plan.Results, nil
}

// moveLocked is a move up to its COMMIT that knows nothing beforehand.
func moveLocked(
	ctx context.Context, u *unit, requests []service.MoveRequest,
	decide func(service.MoveState, service.ReadFunc) (service.MovePlan, error),
	state *service.MoveState, plan *service.MovePlan,
) (err error) {
	if *state, err = lockConsumers(ctx, u, requests); err != nil {
		return err
	}
	if *plan, err = decide(*state, u.read(ctx)); err != nil {
		return err
	}
	if len(plan.Changed) == 0 {
		return errNothingToWrite
	}
	if err := u.run(ctx, setPositions(plan.Changed)...); err != nil {
		return err
	}
	return fault.Point("offset.before_commit")
}

// lockConsumers locks the consumers by (bucket, id) and reads the heads after that, so that the heads
// show at least every message that whoever held a consumer before has seen.
func lockConsumers(ctx context.Context, u *unit, requests []service.MoveRequest) (service.MoveState, error) {
	state := service.MoveState{
		Consumers: map[service.ConsumerID]service.Consumer{}, Heads: map[service.TopicID]service.Head{},
	}
	ids, topics := map[int64]bool{}, map[int64]bool{}
	for i := range requests {
		ids[int64(requests[i].Consumer)] = true
		topics[int64(requests[i].Topic)] = true
	}
	var steps []step
	for _, p := range byBucket(ids) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.LockConsumers(ctx, pgsql.LockConsumersParams{Bucket: p.bucket, ConsumerIds: p.ids})
			for _, row := range rows {
				state.Consumers[service.ConsumerID(row.ConsumerID)] = toConsumer(row)
			}
			return err
		})
	}
	for _, p := range byBucket(topics) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.GetHeads(ctx, pgsql.GetHeadsParams{Bucket: p.bucket, TopicIds: p.ids})
			for _, row := range rows {
				state.Heads[service.TopicID(row.TopicID)] = toHead(headRow(row))
			}
			return err
		})
	}
	return state, u.run(ctx, steps...)
}

// read reads messages for a move. A head in hand promises a message; when it is not there because the
// topic was trimmed or deleted since, the group is decided anew. To find nothing for no such reason is
// for PlanMoves to judge.
func (u *unit) read(ctx context.Context) service.ReadFunc {
	return func(topic service.TopicID, _ string, from service.Offset, limit int, maxBytes int64) ([]service.Message, error) {
		var rows []pgsql.ReadMessagesRow
		err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
			rows, err = q.ReadMessages(ctx, readParams(topic, from, limit, maxBytes))
			return err
		})
		if err == nil && len(rows) == 0 {
			return nil, u.stillThere(ctx, topic, from)
		}
		if err != nil {
			return nil, err
		}
		return toRun(rows, topic, from, limit)
	}
}

// stillThere answers errStale when an offset is no longer to be read.
func (u *unit) stillThere(ctx context.Context, topic service.TopicID, from service.Offset) error {
	var head pgsql.GetHeadRow
	err := u.run(ctx, func(ctx context.Context, q *pgsql.Queries) (err error) {
		head, err = q.GetHead(ctx, pgsql.GetHeadParams{Bucket: bucketOf(topic), TopicID: int64(topic)})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && head.FirstOffset > int64(from)) {
		return errStale
	}
	return err
}

// setPositions makes the statements that write consumers which are locked.
func setPositions(consumers []service.Consumer) []step {
	parts := map[service.Bucket]*pgsql.SetPositionsParams{}
	for _, c := range consumers {
		bucket := service.BucketOfID(c.ID)
		p := parts[bucket]
		if p == nil {
			p = &pgsql.SetPositionsParams{Bucket: int32(bucket)}
			parts[bucket] = p
		}
		p.ConsumerIds = append(p.ConsumerIds, int64(c.ID))
		p.Offsets = append(p.Offsets, int64(c.Offset))
		p.SeekNos = append(p.SeekNos, c.SeekNo)
		p.LastSeen = append(p.LastSeen, c.LastSeen)
	}
	var steps []step
	for _, p := range inOrder(parts) {
		steps = append(steps, exactly(len(p.ConsumerIds), "set positions",
			func(ctx context.Context, q *pgsql.Queries) (int64, error) { return q.SetPositions(ctx, *p) }))
	}
	return steps
}

// CommitOffsets implements service.ConsumerStore. The update alone would lock the consumers in
// whichever order it meets them, and two brokers that flush the same ones could wait for each other;
// so they are locked first, in the same round trip.
func (s *Store) CommitOffsets(ctx context.Context, commits []service.OffsetCommit, now time.Time) error {
	if len(commits) == 0 {
		return nil
	}
	latest := map[service.OffsetCommit]service.Offset{} // of each consumer, seek number and incarnation
	ids := map[int64]bool{}
	for _, c := range commits {
		key := service.OffsetCommit{Consumer: c.Consumer, SeekNo: c.SeekNo, Incarnation: c.Incarnation}
		latest[key] = max(latest[key], c.Offset)
		ids[int64(c.Consumer)] = true
	}
	updates := map[service.Bucket]*pgsql.CommitOffsetsParams{}
	for key, offset := range latest {
		bucket := service.BucketOfID(key.Consumer)
		p := updates[bucket]
		if p == nil {
			p = &pgsql.CommitOffsetsParams{Bucket: int32(bucket), LastSeen: stored(now)}
			updates[bucket] = p
		}
		p.ConsumerIds = append(p.ConsumerIds, int64(key.Consumer))
		p.Offsets = append(p.Offsets, int64(offset))
		p.SeekNos = append(p.SeekNos, key.SeekNo)
		p.Incarnations = append(p.Incarnations, key.Incarnation)
	}
	var steps, checks []step
	for _, p := range byBucket(ids) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			_, err := q.LockConsumers(ctx, pgsql.LockConsumersParams{Bucket: p.bucket, ConsumerIds: p.ids})
			return err
		})
		checks = append(checks, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.GetConsumersHeads(ctx, pgsql.GetConsumersHeadsParams{Bucket: p.bucket, ConsumerIds: p.ids})
			heads := map[service.TopicID]service.Head{}
			for _, row := range rows {
				heads[service.TopicID(row.TopicID)] = toHead(headRow(row))
			}
			if err == nil {
				err = service.CheckDatabase(heads)
			}
			return err
		})
	}
	steps = append(steps, checks...)
	for _, p := range inOrder(updates) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			_, err := q.CommitOffsets(ctx, *p)
			return err
		})
	}
	// Once more, for each statement sees what was committed before it: a dump may have been put back under the
	// update, and what its heads say of another database was not there to be seen before.
	steps = append(steps, checks...)
	return s.write(ctx, func(ctx context.Context, u *unit) error {
		if err := u.run(ctx, steps...); err != nil {
			return err
		}
		return fault.Point("offset.before_commit")
	})
}

// idPart are ids of one bucket, in order.
type idPart struct {
	bucket int32
	ids    []int64
}

func byBucket(ids map[int64]bool) []*idPart {
	parts := map[service.Bucket]*idPart{}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		bucket := service.BucketOfID(id)
		if parts[bucket] == nil {
			parts[bucket] = &idPart{bucket: int32(bucket)}
		}
		parts[bucket].ids = append(parts[bucket].ids, id)
	}
	return inOrder(parts)
}
