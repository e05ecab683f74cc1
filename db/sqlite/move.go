package sqlite

import (
	"context"
	"time"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/service"
)

// Move implements service.ConsumerStore. Messages that tail does not hold, and that were not read ahead, are read in the very
// transaction that read the heads: a Trim in between would take away what the head promised.
func (s *Store) Move(
	ctx context.Context, requests []service.MoveRequest, tail service.ReadFunc, now time.Time,
) ([]service.MoveResult, error) {
	var plan service.MovePlan
	err := s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		state, err := tx.moveState(ctx, requests)
		if err != nil {
			return err
		}
		plan, err = service.PlanMoves(requests, state, s.ahead.Reader(tail, tx.reader(ctx)), now)
		if err != nil {
			return err
		}
		if len(plan.Changed) == 0 {
			return errUnchanged
		}
		for i := range plan.Changed {
			if err := tx.setPosition(ctx, plan.Changed[i]); err != nil {
				return err
			}
		}
		return fault.Point("offset.before_commit")
	})
	if err != nil {
		return nil, err
	}
	return plan.Results, nil
}

func (t *tx) moveState(ctx context.Context, requests []service.MoveRequest) (service.MoveState, error) {
	ids := make([]service.ConsumerID, len(requests))
	topics := make([]service.TopicID, len(requests))
	for i := range requests {
		ids[i], topics[i] = requests[i].Consumer, requests[i].Topic
	}
	state := service.MoveState{Consumers: map[service.ConsumerID]service.Consumer{}}
	consumers, err := findConsumers(ctx, t.Queries, ids)
	if err != nil {
		return state, err
	}
	for _, c := range consumers {
		state.Consumers[c.ID] = c
	}
	state.Heads, err = t.heads(ctx, topics)
	return state, err
}

// reader reads in the transaction.
func (t *tx) reader(ctx context.Context) service.ReadFunc {
	return func(topic service.TopicID, _ string, from service.Offset, limit int, maxBytes int64) ([]service.Message, error) {
		return read(ctx, t.on, run{topic, from, limit, maxBytes})
	}
}
