package memory

import (
	"context"
	"errors"
	"time"

	"github.com/topiq/topiq/service"
)

// RegisterConsumer implements service.ConsumerStore.
func (s *Store) RegisterConsumer(
	_ context.Context, r service.ConsumerRegistration,
) (service.Consumer, service.Head, error) {
	there, release := s.counted(r.Maker)
	defer release()
	t, unlock := hold(&s.names, r.Topic, seekLock)
	defer unlock()
	if t == nil {
		return service.Consumer{}, service.Head{}, service.ErrTopicNotFound
	}
	head := t.head()
	if err := service.CheckOwn(head); err != nil {
		return service.Consumer{}, service.Head{}, err
	}
	if id, ok := t.consNames[r.Name]; ok {
		return t.consumers[id], head, nil
	}
	offset, err := service.PlanStart(r.From, head)
	if err != nil {
		return service.Consumer{}, service.Head{}, err
	}
	if err := t.consumerRoom(r.Maker, there); err != nil {
		return service.Consumer{}, service.Head{}, err
	}
	row := service.Consumer{
		ID: service.ConsumerID(s.newID(service.BucketOfID(t.id))), Topic: t.id, Name: r.Name,
		Offset: offset, LastSeen: stored(r.At),
	}
	t.consumers[row.ID] = row
	if r.Maker.Counted() {
		t.consMakers[row.ID] = r.Maker.TokenID
	}
	if r.Name != "" {
		t.consNames[r.Name] = row.ID
	}
	s.consumers.Store(row.ID, t)
	return row, head, nil
}

// UnregisterConsumer implements service.ConsumerStore.
func (s *Store) UnregisterConsumer(_ context.Context, name service.TopicName, id service.ConsumerID) error {
	t, unlock := hold(&s.names, name, seekLock)
	defer unlock()
	if t == nil {
		return service.ErrTopicNotFound
	}
	if err := service.CheckOwn(t.head()); err != nil {
		return err
	}
	row, ok := t.consumers[id]
	if !ok {
		return service.ErrConsumerNotFound
	}
	delete(t.consumers, id)
	delete(t.consMakers, id)
	delete(t.consNames, row.Name)
	s.consumers.Delete(id)
	return nil
}

// with calls use with a consumer that exists, under its lock, and stores the row it returns.
func (s *Store) with(id service.ConsumerID, use func(*topic, service.Consumer) (service.Consumer, error)) error {
	t, unlock := hold(&s.consumers, id, seekLock)
	defer unlock()
	if t == nil {
		return service.ErrConsumerNotFound
	}
	row, ok := t.consumers[id]
	if !ok {
		return service.ErrConsumerNotFound // unregistered between the look-up and the lock
	}
	row, err := use(t, row)
	if err == nil {
		t.consumers[id] = row
	}
	return err
}

// Consumers implements service.ConsumerStore.
func (s *Store) Consumers(_ context.Context, ids []service.ConsumerID) ([]service.Consumer, error) {
	var rows []service.Consumer
	for _, id := range ids {
		_ = s.with(id, func(_ *topic, row service.Consumer) (service.Consumer, error) { // absent: not answered
			rows = append(rows, row)
			return row, nil
		})
	}
	return rows, nil
}

// FindConsumer implements service.ConsumerStore.
func (s *Store) FindConsumer(_ context.Context, id service.TopicID, name string) (service.Consumer, error) {
	t, unlock := hold(&s.topics, id, seekLock)
	defer unlock()
	if t != nil {
		if found, ok := t.consNames[name]; ok {
			return t.consumers[found], nil
		}
	}
	return service.Consumer{}, service.ErrConsumerNotFound
}

// ListConsumers implements service.ConsumerStore.
func (s *Store) ListConsumers(
	_ context.Context, topic service.TopicID, after service.ConsumerID, limit int,
) ([]service.Consumer, error) {
	t, unlock := hold(&s.topics, topic, seekLock)
	defer unlock()
	if t == nil {
		return nil, nil
	}
	var rows []service.Consumer
	for id, row := range t.consumers {
		if id > after {
			rows = append(rows, row)
		}
	}
	return page(rows, func(row service.Consumer) service.ConsumerID { return row.ID }, limit), nil
}

// Move implements service.ConsumerStore. The messages come from the very views whose heads decide:
// a Trim in between would take away what the head promised.
func (s *Store) Move(
	_ context.Context, requests []service.MoveRequest, tail service.ReadFunc, now time.Time,
) ([]service.MoveResult, error) {
	topics := map[service.TopicID]*topic{}
	for i := range requests {
		if t := find(&s.topics, requests[i].Topic); t != nil {
			topics[t.id] = t
		}
	}
	defer lock(topics, seekLock)()
	state := service.MoveState{
		Consumers: map[service.ConsumerID]service.Consumer{}, Heads: map[service.TopicID]service.Head{},
	}
	views := map[service.TopicID]*view{}
	for id, t := range topics {
		if !t.deleted {
			views[id] = t.view.Load()
			state.Heads[id] = views[id].head
		}
	}
	for i := range requests {
		r := &requests[i]
		if t := topics[r.Topic]; t != nil {
			if row, ok := t.consumers[r.Consumer]; ok {
				state.Consumers[row.ID] = row
			}
		}
	}
	read := func(
		id service.TopicID, incarnation string, from service.Offset, limit int, maxBytes int64,
	) ([]service.Message, error) {
		if tail != nil {
			if messages, err := tail(id, incarnation, from, limit, maxBytes); err != nil || len(messages) > 0 {
				return messages, err
			}
		}
		return views[id].read(from, limit, maxBytes), nil
	}
	plan, err := service.PlanMoves(requests, state, read, now)
	if err != nil {
		return nil, err
	}
	for _, row := range plan.Changed {
		topics[row.Topic].consumers[row.ID] = row
	}
	return plan.Results, nil
}

// Seek implements service.ConsumerStore.
func (s *Store) Seek(_ context.Context, r service.SeekRequest, now time.Time) (service.Consumer, error) {
	var answer service.Consumer
	err := s.with(r.Consumer, func(t *topic, row service.Consumer) (service.Consumer, error) {
		moved, err := service.PlanSeek(r, row, t.head(), now)
		answer = moved
		return moved, err
	})
	return answer, err
}

// CommitOffsets implements service.ConsumerStore.
func (s *Store) CommitOffsets(_ context.Context, commits []service.OffsetCommit, now time.Time) error {
	for i := range commits {
		c := &commits[i]
		err := s.with(c.Consumer, func(t *topic, row service.Consumer) (service.Consumer, error) {
			head := t.head()
			if err := service.CheckOwn(head); err != nil {
				return row, err
			}
			if moved := row.ApplyUnder(head.Incarnation, c); moved.Offset != row.Offset {
				moved.LastSeen = stored(now)
				return moved, nil
			}
			return row, nil
		})
		if err != nil && !errors.Is(err, service.ErrConsumerNotFound) { // gone: ignored
			return err
		}
	}
	return nil
}
