package postgres

import (
	"context"

	"github.com/topiq/topiq/service"
)

// Estrange makes a topic look like one of another database, for dbtest.
func (s *Store) Estrange(ctx context.Context, name service.TopicName) error {
	_, err := s.writes.Exec(ctx, `
		UPDATE heads AS h SET identity = '1.00000001.1.1' FROM topics AS t
		WHERE t.bucket = h.bucket AND t.topic_id = h.topic_id AND t.bucket = $1 AND t.name = $2`,
		int32(service.BucketOf(name)), string(name))
	return err
}
