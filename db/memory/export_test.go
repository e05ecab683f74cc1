package memory

import (
	"context"

	"github.com/topiq/topiq/service"
)

// Estrange makes a topic look like one of another database, for dbtest.
func (s *Store) Estrange(_ context.Context, name service.TopicName) error {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	v := *t.view.Load()
	v.head.Foreign = true
	t.view.Store(&v)
	return nil
}
