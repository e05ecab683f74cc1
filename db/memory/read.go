package memory

import (
	"context"
	"time"

	"github.com/topiq/topiq/service"
)

// Read implements service.MessageStore.
func (s *Store) Read(
	_ context.Context, id service.TopicID, from service.Offset, limit int, maxBytes int64,
) ([]service.Message, error) {
	t := find(&s.topics, id)
	if t == nil {
		return nil, nil
	}
	return t.view.Load().read(from, limit, maxBytes), nil
}

// read returns messages of the log; they are shared with other readers.
func (v *view) read(from service.Offset, limit int, maxBytes int64) []service.Message {
	if from < v.head.First || from >= v.head.Next {
		return nil
	}
	first := int(from - v.head.First)
	n := 0
	for n < min(v.log.length-first, limit) {
		maxBytes -= v.log.at(first + n).Size()
		if maxBytes < 0 && n > 0 {
			break
		}
		n++
	}
	return v.log.run(first, n)
}

// FindTime implements service.MessageStore.
func (s *Store) FindTime(_ context.Context, id service.TopicID, at time.Time) (service.Offset, error) {
	t := find(&s.topics, id)
	if t == nil {
		return 0, service.ErrTopicNotFound
	}
	v := t.view.Load()
	return service.SearchTime(v.head.First, v.head.Next, at, func(o service.Offset) (time.Time, error) {
		return v.log.at(int(o - v.head.First)).CreatedAt, nil
	})
}
