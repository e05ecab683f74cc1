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

// read returns a part of the log itself: messages are shared, and its capacity ends with it, so
// that nobody who appends to it writes into the log.
func (v *view) read(from service.Offset, limit int, maxBytes int64) []service.Message {
	if from < v.head.First || from >= v.head.Next {
		return nil
	}
	rest := v.log[from-v.head.First:]
	n := 0
	for n < min(len(rest), limit) {
		maxBytes -= rest[n].Size()
		if maxBytes < 0 && n > 0 {
			break
		}
		n++
	}
	return rest[:n:n]
}

// FindTime implements service.MessageStore.
func (s *Store) FindTime(_ context.Context, id service.TopicID, at time.Time) (service.Offset, error) {
	t := find(&s.topics, id)
	if t == nil {
		return 0, service.ErrTopicNotFound
	}
	v := t.view.Load()
	return service.SearchTime(v.head.First, v.head.Next, at, func(o service.Offset) (time.Time, error) {
		return v.log[o-v.head.First].CreatedAt, nil
	})
}
