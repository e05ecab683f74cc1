package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/service"
)

var _ service.Measured = (*Store)(nil)

// Stats implements service.Measured.
func (s *Store) Stats() service.StoreStats {
	return service.StoreStats{Pools: []service.PoolStats{poolStats("write", s.writes), poolStats("read", s.reads)}}
}

func poolStats(name string, pool *pgxpool.Pool) service.PoolStats {
	p := pool.Stat()
	return service.PoolStats{
		Name: name, Used: int(p.AcquiredConns()), Idle: int(p.IdleConns()), Opening: int(p.ConstructingConns()),
		Max: int(p.MaxConns()), Acquired: p.AcquireCount(), Waited: p.EmptyAcquireCount(), WaitTime: p.EmptyAcquireWaitTime(),
	}
}
