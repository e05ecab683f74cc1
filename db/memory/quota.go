package memory

import (
	"context"

	"github.com/topiq/topiq/service"
)

// made is how many there are of what one token has made.
type made struct{ topics, producers, consumers int64 }

// counted counts what a token has made, where it may not make any number. Until release is called, nobody else makes
// anything that is counted: so there can only be less than was counted, and no two callers take the same last room.
// It looks at all topics, which is what a store in memory can afford. No lock of a topic may be held.
func (s *Store) counted(by service.Maker) (there made, release func()) {
	if !by.Counted() {
		return made{}, func() {}
	}
	s.making.Lock()
	s.topics.Range(func(key, _ any) bool {
		t, unlock := hold(&s.topics, key, writeLock)
		defer unlock()
		if t == nil {
			return true
		}
		t.seek.Lock()
		defer t.seek.Unlock()
		if t.maker == by.TokenID {
			there.topics++
		}
		for _, p := range t.producers {
			if p.maker == by.TokenID && registered(p.row) {
				there.producers++
			}
		}
		for _, maker := range t.consMakers {
			if maker == by.TokenID {
				there.consumers++
			}
		}
		return true
	})
	return there, s.making.Unlock
}

// SetQuota implements service.TopicStore.
func (s *Store) SetQuota(
	_ context.Context, name service.TopicName, change service.QuotaChange,
) (service.Head, error) {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.Head{}, service.ErrTopicNotFound
	}
	v := *t.view.Load()
	if err := service.CheckOwn(v.head); err != nil {
		return service.Head{}, err
	}
	v.head.Quota = change.Apply(v.head.Quota)
	t.view.Store(&v)
	return v.head, nil
}

// producerRoom refuses one more producer of a topic, whose write lock is held.
func (t *topic) producerRoom(by service.Maker, there made) error {
	if err := service.CheckRoom(service.QuotaTokenProducers, there.producers, by.Producers); err != nil {
		return err
	}
	most := t.head().Quota.Producers
	if most == 0 {
		return nil
	}
	var registrations int64
	for _, p := range t.producers {
		if registered(p.row) {
			registrations++
		}
	}
	return service.CheckRoom(service.QuotaTopicProducers, registrations, most)
}

// consumerRoom refuses one more consumer of a topic, whose seek lock is held.
func (t *topic) consumerRoom(by service.Maker, there made) error {
	if err := service.CheckRoom(service.QuotaTokenConsumers, there.consumers, by.Consumers); err != nil {
		return err
	}
	return service.CheckRoom(service.QuotaTopicConsumers, int64(len(t.consumers)), t.head().Quota.Consumers)
}
