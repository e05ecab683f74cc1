package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/topiq/topiq/gen/litesql"
)

// statements runs queries through statements that are prepared once: to parse and plan one costs
// several times what most of ours take to run. The texts are all constants, so there is an end to
// them.
type statements struct {
	on litesql.DBTX

	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

var _ litesql.DBTX = (*statements)(nil)

// PrepareContext implements litesql.DBTX: the statement is shared, and must not be closed.
func (s *statements) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.on.PrepareContext(ctx, query) //nolint:sqlclosecheck // kept; close closes it
	if err != nil {
		return nil, err
	}
	if s.prepared == nil {
		s.prepared = map[string]*sql.Stmt{}
	}
	s.prepared[query] = stmt
	return stmt, nil
}

// ExecContext implements litesql.DBTX.
func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := s.PrepareContext(ctx, query) //nolint:sqlclosecheck // shared
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements litesql.DBTX.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.PrepareContext(ctx, query) //nolint:sqlclosecheck // shared
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// QueryRowContext implements litesql.DBTX. A sql.Row that carries an error can only be had from
// database/sql itself: where preparing fails, the query is run as it is, and fails the same way.
func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	stmt, err := s.PrepareContext(ctx, query) //nolint:sqlclosecheck // shared
	if err != nil {
		return s.on.QueryRowContext(ctx, query, args...)
	}
	return stmt.QueryRowContext(ctx, args...)
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
	}
	s.prepared = nil
	return errors.Join(errs...)
}
