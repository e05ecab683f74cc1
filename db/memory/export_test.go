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

// Log is the log of a topic; it has methods for tests alone.
type Log struct{ log }

// Extended is extended.
func (l Log) Extended(by []service.Message) Log { return Log{l.extended(by)} }

// Without is without.
func (l Log) Without(n int) Log { return Log{l.without(n)} }

// Run is run.
func (l Log) Run(from, n int) []service.Message { return l.run(from, n) }

// At is at.
func (l Log) At(i int) *service.Message { return l.at(i) }
