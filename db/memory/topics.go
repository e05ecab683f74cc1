package memory

import (
	"context"
	"strings"
	"time"

	"github.com/topiq/topiq/service"
)

// CreateTopic implements service.TopicStore.
func (s *Store) CreateTopic(_ context.Context, n service.NewTopic) (service.Head, error) {
	there, release := s.counted(n.Maker)
	defer release()
	if find(&s.names, n.Name) == nil {
		if err := service.CheckRoom(service.QuotaTokenTopics, there.topics, n.Maker.Topics); err != nil {
			return service.Head{}, err
		}
	}
	t, created := s.topic(n)
	if !created {
		return service.Head{}, service.ErrTopicExists
	}
	return t.head(), nil
}

// topic returns the topic of a name, made if there is none.
func (s *Store) topic(n service.NewTopic) (t *topic, created bool) {
	if t := find(&s.names, n.Name); t != nil {
		return t, false
	}
	t = newTopic(service.TopicID(s.newID(service.BucketOf(n.Name))), n)
	// By id first: whoever finds the name must be able to use the id it leads to.
	s.topics.Store(t.id, t)
	if _, lost := s.names.LoadOrStore(n.Name, t); lost {
		s.topics.Delete(t.id)
		return find(&s.names, n.Name), false
	}
	return t, true
}

// Heads implements service.TopicStore.
func (s *Store) Heads(_ context.Context, names []service.TopicName) ([]service.Head, error) {
	var heads []service.Head
	for _, name := range names {
		if t := find(&s.names, name); t != nil {
			heads = append(heads, t.head())
		}
	}
	return heads, nil
}

// Changed implements service.TopicStore.
func (s *Store) Changed(ctx context.Context, seen []service.Head) ([]service.TopicName, error) {
	heads, err := s.Heads(ctx, service.NamesOf(seen))
	return service.ChangedHeads(seen, heads), err
}

// ListTopics implements service.TopicStore.
func (s *Store) ListTopics(
	_ context.Context, prefix string, after service.TopicName, limit int,
) ([]service.TopicName, error) {
	var names []service.TopicName
	s.names.Range(func(key, _ any) bool {
		if name, ok := key.(service.TopicName); ok && name > after && strings.HasPrefix(string(name), prefix) {
			names = append(names, name)
		}
		return true
	})
	return page(names, func(name service.TopicName) service.TopicName { return name }, limit), nil
}

// CountClients implements service.TopicStore.
func (s *Store) CountClients(_ context.Context, id service.TopicID) (producers, consumers int64, err error) {
	t, unlock := hold(&s.topics, id, writeLock)
	defer unlock()
	if t == nil {
		return 0, 0, nil
	}
	t.seek.Lock()
	defer t.seek.Unlock()
	for _, p := range t.producers {
		if registered(p.row) {
			producers++
		}
	}
	return producers, int64(len(t.consumers)), nil
}

// DeleteTopic implements service.TopicStore. Once no map leads to the topic, the collector frees it.
func (s *Store) DeleteTopic(_ context.Context, name service.TopicName, _ time.Time) error {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.ErrTopicNotFound
	}
	t.seek.Lock()
	defer t.seek.Unlock()
	t.deleted = true
	s.names.Delete(name)
	s.topics.Delete(t.id)
	for id := range t.consumers {
		s.consumers.Delete(id)
	}
	for id := range t.producers {
		s.anonymous.Delete(id)
	}
	return nil
}

// NewIncarnation implements service.TopicStore.
func (s *Store) NewIncarnation(
	_ context.Context, name service.TopicName, incarnation string,
) (service.Head, error) {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.Head{}, service.ErrTopicNotFound
	}
	return t.renew(incarnation), nil
}

// Renew implements service.TopicStore.
func (s *Store) Renew(_ context.Context, name service.TopicName, incarnation string) (service.Head, error) {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.Head{}, service.ErrTopicNotFound
	}
	if head := t.head(); !head.Foreign {
		return head, nil
	}
	return t.renew(incarnation), nil
}

// renew gives a topic another incarnation. Its write lock is held.
func (t *topic) renew(incarnation string) service.Head {
	v := *t.view.Load()
	v.head.Incarnation, v.head.Foreign = incarnation, false
	t.view.Store(&v)
	return v.head
}

// Sweep implements service.TopicStore. Neither DeleteTopic nor Trim leaves anything behind.
func (*Store) Sweep(context.Context, int) (int, error) { return 0, nil }
