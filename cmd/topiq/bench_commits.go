package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/topiq/topiq/db/postgres/pgbare"
	"github.com/topiq/topiq/db/sqlite/litebare"
)

// groupCommits writes or changes one row for each call of keep, all that wait with one commit, as a broker with one topic
// does, but decides nothing: no head, no producer, no offset of anybody's own.
type groupCommits struct {
	calls chan chan error
	write func(ctx context.Context, rows int) error
}

// groupMost is the most rows of a commit, more than any benchmark has connections.
const groupMost = 4096

func (g *groupCommits) keep(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case g.calls <- done:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run commits until ctx ends. Then nobody waits any more, for the server that calls keep has ended before.
func (g *groupCommits) run(ctx context.Context) {
	for {
		var group []chan error
		select {
		case first := <-g.calls:
			group = append(group, first)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(group) < groupMost; {
			select {
			case next := <-g.calls:
				group = append(group, next)
			default:
				more = false
			}
		}
		err := g.write(context.WithoutCancel(ctx), len(group))
		for _, done := range group {
			done <- err
		}
	}
}

// keeper opens what --commit names. keep is nil without one.
func (c *emptyCommand) keeper(ctx context.Context) (keep func(context.Context) error, leave func() error, err error) {
	if c.Commit == "" {
		return nil, func() error { return nil }, nil
	}
	ctx = context.WithoutCancel(ctx)
	g := &groupCommits{calls: make(chan chan error)}
	var closeStore func() error
	if path, ok := strings.CutPrefix(c.Commit, sqliteScheme); ok {
		g.write, closeStore, err = keepInSQLite(ctx, path, c.PayloadBytes)
	} else if c.Positions > 0 {
		g.write, closeStore, err = movePositions(ctx, c.Commit, c.Positions)
	} else {
		g.write, closeStore, err = keepInPostgres(ctx, c.Commit, c.PayloadBytes)
	}
	if err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.run(running)
	}()
	return g.keep, func() error {
		stop()
		<-ended
		return closeStore()
	}, nil
}

func keepInPostgres(ctx context.Context, url string, payloadBytes int) (func(context.Context, int) error, func() error, error) {
	table, err := pgbare.Create(ctx, url, fmt.Sprintf("topiq_bench_commits_%d", os.Getpid()))
	if err != nil {
		return nil, nil, err
	}
	w, err := table.Writer(ctx, "bench", benchPayload(payloadBytes))
	if err != nil {
		return nil, nil, errors.Join(err, table.Drop(ctx))
	}
	return w.Copy, func() error { return errors.Join(w.Close(ctx), table.Drop(ctx)) }, nil
}

// movePositions moves as many positions as there are calls. No call is that of one position: there is none to answer with.
func movePositions(ctx context.Context, url string, n int) (func(context.Context, int) error, func() error, error) {
	p, err := pgbare.CreatePositions(ctx, url, fmt.Sprintf("topiq_bench_positions_%d", os.Getpid()), n)
	if err != nil {
		return nil, nil, err
	}
	return p.Advance, func() error { return p.Drop(ctx) }, nil
}

func keepInSQLite(ctx context.Context, path string, payloadBytes int) (func(context.Context, int) error, func() error, error) {
	w, err := litebare.Create(ctx, path, "commits", benchPayload(payloadBytes))
	if err != nil {
		return nil, nil, err
	}
	return w.Insert, w.Remove, nil
}
