package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/topiq/topiq/service"
)

// Retention implements service.RetentionStore.
func (s *Store) Retention(_ context.Context, id service.TopicID) (service.Retention, error) {
	t, unlock := hold(&s.topics, id, writeLock)
	defer unlock()
	if t == nil {
		return service.Retention{}, nil
	}
	return t.retention, nil
}

// SetRetention implements service.RetentionStore.
func (s *Store) SetRetention(
	_ context.Context, name service.TopicName, change service.RetentionChange,
) (service.Head, service.Retention, error) {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.Head{}, service.Retention{}, service.ErrTopicNotFound
	}
	head := t.head()
	if err := service.CheckOwn(head); err != nil {
		return service.Head{}, service.Retention{}, err
	}
	t.retention = change.Apply(t.retention)
	return head, t.retention, nil
}

// ListRetained implements service.RetentionStore.
func (s *Store) ListRetained(_ context.Context, after service.TopicID, limit int) ([]service.Retained, error) {
	var all []service.Retained
	s.topics.Range(func(key, _ any) bool {
		t, unlock := hold(&s.topics, key, writeLock)
		defer unlock()
		if t != nil && !t.retention.IsZero() && compareTopics(t.id, after) > 0 {
			all = append(all, service.Retained{ID: t.id, Name: t.name, Retention: t.retention})
		}
		return true
	})
	slices.SortFunc(all, func(a, b service.Retained) int { return compareTopics(a.ID, b.ID) })
	return all[:min(len(all), limit)], nil
}

func compareTopics(a, b service.TopicID) int {
	return cmp.Or(cmp.Compare(service.BucketOfID(a), service.BucketOfID(b)), cmp.Compare(a, b))
}

// FindExcess implements service.RetentionStore.
func (s *Store) FindExcess(
	_ context.Context, id service.TopicID, from service.Offset, bytes int64, limit int,
) (service.Offset, error) {
	t := find(&s.topics, id)
	if t == nil {
		return from, nil
	}
	v := t.view.Load()
	if v.head.First != from {
		return from, nil
	}
	until := from
	for i := range min(v.log.length, limit) {
		if bytes <= 0 {
			break
		}
		bytes -= v.log.at(i).Size()
		until++
	}
	return until, nil
}

// Touch implements service.RetentionStore.
func (s *Store) Touch(
	_ context.Context, producers []service.ProducerID, consumers []service.ConsumerID, at time.Time,
) error {
	for _, id := range producers {
		s.touchProducer(id, stored(at))
	}
	for _, id := range consumers {
		_ = s.with(id, func(_ *topic, row service.Consumer) (service.Consumer, error) { // gone: ignored
			if at := stored(at); at.After(row.LastSeen) {
				row.LastSeen = at
			}
			return row, nil
		})
	}
	return nil
}

// ForgetUnused implements service.RetentionStore.
func (s *Store) ForgetUnused(_ context.Context, since time.Time, limit int) (int, error) {
	removed, since := 0, stored(since)
	s.anonymous.Range(func(key, _ any) bool {
		if id, ok := key.(service.ProducerID); ok && s.forgetProducer(id, since) {
			removed++
		}
		return removed < limit
	})
	s.consumers.Range(func(key, _ any) bool {
		if removed >= limit {
			return false
		}
		if id, ok := key.(service.ConsumerID); ok && s.forgetConsumer(id, since) {
			removed++
		}
		return true
	})
	return removed, nil
}

func (s *Store) touchProducer(id service.ProducerID, at time.Time) {
	t, unlock := hold(&s.anonymous, id, writeLock)
	defer unlock()
	if t == nil {
		return
	}
	if p := t.producers[id]; p != nil && at.After(p.used) {
		p.used = at
	}
}

func (s *Store) forgetProducer(id service.ProducerID, since time.Time) bool {
	t, unlock := hold(&s.anonymous, id, writeLock)
	defer unlock()
	if t == nil {
		return false
	}
	if p := t.producers[id]; p == nil || !p.used.Before(since) {
		return false
	}
	delete(t.producers, id)
	s.anonymous.Delete(id)
	return true
}

func (s *Store) forgetConsumer(id service.ConsumerID, since time.Time) bool {
	t, unlock := hold(&s.consumers, id, seekLock)
	defer unlock()
	if t == nil {
		return false
	}
	row, ok := t.consumers[id]
	if !ok || row.Name != "" || !row.LastSeen.Before(since) {
		return false
	}
	delete(t.consumers, id)
	delete(t.consMakers, id)
	s.consumers.Delete(id)
	return true
}

// keepers are the positions of the named consumers of a topic that exist. Its seek lock is held.
func (t *topic) keepers(names []string) map[string]service.Offset {
	positions := make(map[string]service.Offset, len(names))
	for _, name := range names {
		if id, ok := t.consNames[name]; ok && name != "" {
			positions[name] = t.consumers[id].Offset
		}
	}
	return positions
}
