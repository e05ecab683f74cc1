package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// step is one call of one generated query. What it finds it keeps in variables of its caller.
type step func(ctx context.Context, q *pgsql.Queries) error

// errQueued is what a query returns that was noted down instead of run.
var errQueued = errors.New("the query is queued")

// send runs steps in one round trip: all statements are sent, then all answers are read. The server
// still runs them one after another, each on a snapshot of its own, which P3 rests on. With begin
// the first of them is the BEGIN of a transaction.
//
// The generated code knows no pipelines, so each step is called twice: once to note down its
// statement, and once to read the rows. A step must therefore make exactly one call, with the same
// values both times, and change nothing before that call has succeeded.
func send(ctx context.Context, conn *pgx.Conn, begin bool, steps ...step) (err error) {
	batch := &pgx.Batch{}
	if begin {
		batch.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	}
	for _, run := range steps {
		before := batch.Len()
		if err := run(ctx, pgsql.New(recorder{batch})); !errors.Is(err, errQueued) {
			return service.ErrInternal.Because(fmt.Errorf("a step did not end with its query: %w", err))
		}
		if n := batch.Len() - before; n != 1 {
			return service.ErrInternal.Because(fmt.Errorf("a step made %d queries", n))
		}
	}
	results := conn.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	if begin {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, run := range steps {
		if err := run(ctx, pgsql.New(player{results})); err != nil {
			return err
		}
	}
	return nil
}

// recorder is a connection that notes statements down.
type recorder struct{ batch *pgx.Batch }

// Exec implements pgsql.DBTX.
func (r recorder) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	r.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, errQueued
}

// Query implements pgsql.DBTX.
func (r recorder) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.batch.Queue(sql, args...)
	return nil, errQueued
}

// QueryRow implements pgsql.DBTX.
func (r recorder) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	r.batch.Queue(sql, args...)
	return queuedRow{}
}

type queuedRow struct{}

// Scan implements pgx.Row.
func (queuedRow) Scan(...any) error { return errQueued }

// player is a connection that answers with the results of statements sent before.
type player struct{ results pgx.BatchResults }

// Exec implements pgsql.DBTX.
func (p player) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return p.results.Exec()
}

// Query implements pgsql.DBTX.
func (p player) Query(context.Context, string, ...any) (pgx.Rows, error) { return p.results.Query() }

// QueryRow implements pgsql.DBTX.
func (p player) QueryRow(context.Context, string, ...any) pgx.Row { return p.results.QueryRow() }
