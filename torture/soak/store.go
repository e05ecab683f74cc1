package soak

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/torture/server"
)

// store is where messages are kept, and what can be measured of it.
type store struct {
	url    string
	dir    string // of its files
	isWAL  func(path string) bool
	server *server.Postgres
	conn   *pgx.Conn
}

func open(ctx context.Context, c Config) (*store, error) {
	switch c.Engine {
	case SQLite:
		dir := filepath.Join(c.Dir, "data")
		return &store{
			url: "sqlite:" + filepath.Join(dir, "topiq.db"), dir: dir,
			isWAL: func(path string) bool { return strings.HasSuffix(path, "-wal") },
		}, nil
	case Postgres:
		return openPostgres(ctx, c)
	}
	return nil, fmt.Errorf("there is no engine %q: want %s or %s", c.Engine, SQLite, Postgres)
}

func openPostgres(ctx context.Context, c Config) (*store, error) {
	dir := filepath.Join(c.Dir, "pg")
	// Often enough for a short run to see it, and not more often than is advised.
	naptime := min(15, max(1, int(c.For.Seconds()/12)))
	p, err := server.NewPostgres(server.PostgresConfig{
		Data: filepath.Join(dir, "data"), Dir: dir, Name: "postgres",
		Settings: []string{"autovacuum=on", fmt.Sprintf("autovacuum_naptime=%ds", naptime), "track_counts=on"},
	})
	if err != nil {
		return nil, err
	}
	s := &store{
		url: p.URL("topiq"), dir: p.Data(), server: p,
		isWAL: func(path string) bool { return strings.Contains(path, "/pg_wal/") },
	}
	if err := p.Create(ctx); err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	if err := p.Exec(ctx, "postgres", "CREATE DATABASE topiq"); err != nil {
		return nil, err
	}
	if s.conn, err = pgx.Connect(ctx, s.url); err != nil {
		return nil, err
	}
	return s, nil
}

// measure fills in what the store takes.
func (s *store) measure(ctx context.Context, sample *Sample) (err error) {
	if sample.WAL, err = sizeOf(s.dir, s.isWAL); err != nil {
		return err
	}
	if sample.Disk, err = sizeOf(s.dir, func(path string) bool { return !s.isWAL(path) }); err != nil || s.conn == nil {
		return err
	}
	return s.conn.QueryRow(ctx, "SELECT pg_total_relation_size('messages'), n_dead_tup FROM pg_stat_user_tables "+
		"WHERE relname = 'messages'").Scan(&sample.Table, &sample.Dead)
}

func (s *store) close() error {
	if s.server == nil {
		return nil
	}
	if s.conn != nil {
		_ = s.conn.Close(context.Background()) // the server ends now
	}
	err := s.server.Stop("fast")
	s.server.Release()
	return err
}
