package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/topiq/topiq/db/postgres/pgbare"
	"github.com/topiq/topiq/db/sqlite/litebare"
)

// What the database does without a broker, for the ratios of --limit.

// bareConns bounds the connections to the database: the server has a limit, and more of them than it
// has processors do not make it faster.
const bareConns = 32

// bareWorker does one thing to the database.
type bareWorker struct {
	call func(context.Context) (work, error)
}

// do implements benchWorker.
func (w *bareWorker) do(ctx context.Context, _ time.Time) (work, error) { return w.call(ctx) }

func (*bareWorker) rest() {}

// addCopy adds COPY of the same rows, with one commit for as many as a request has.
func (b *bench) addCopy() error {
	c := b.command
	var workers []benchWorker
	writers, err := b.bareWriters(min(c.Connections, bareConns))
	for _, w := range writers {
		workers = append(workers, &bareWorker{func(ctx context.Context) (work, error) {
			return work{messages: int64(c.Batch), bytes: int64(c.Batch * c.PayloadBytes)}, w.Copy(ctx, c.Batch)
		}})
	}
	b.addLoad("COPY", workers)
	return err
}

// addBareCommit adds a connection that commits one row after another. A message can never be received sooner
// after it was sent.
func (b *bench) addBareCommit() error {
	commit, err := b.bareCommit()
	if err != nil {
		return err
	}
	bytes := int64(b.command.PayloadBytes)
	l := &load{warmUp: b.command.WarmUp, duration: b.command.Duration, workers: []benchWorker{
		&bareWorker{func(ctx context.Context) (work, error) {
			return work{messages: 1, bytes: bytes}, commit(ctx)
		}},
	}}
	b.contenders = append(b.contenders, contender{name: "bare commit", run: l.run, byLatency: true})
	return nil
}

// bareCommit returns a function that commits a row.
func (b *bench) bareCommit() (func(context.Context) error, error) {
	if path, ok := strings.CutPrefix(b.command.Store, sqliteScheme); ok {
		w, err := litebare.Create(b.running, path, "bare", benchPayload(b.command.PayloadBytes))
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, func(context.Context) error { return w.Remove() })
		return func(ctx context.Context) error { return w.Insert(ctx, 1) }, nil
	}
	writers, err := b.bareWriters(1)
	if err != nil {
		return nil, err
	}
	return writers[0].Insert, nil
}

// bareWriters makes a table like that of the messages, and connections that write into it.
func (b *bench) bareWriters(n int) ([]*pgbare.Writer, error) {
	table, err := pgbare.Create(b.running, b.command.Store, "topiq_bench_"+b.run)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, table.Drop)
	var writers []*pgbare.Writer
	for i := range n {
		w, err := table.Writer(b.running, fmt.Sprintf("bench-%d", i), benchPayload(b.command.PayloadBytes))
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, w.Close)
		writers = append(writers, w)
	}
	return writers, nil
}

// addSelect adds the SELECT of the rows that --way=history reads.
func (b *bench) addSelect(ends []int64) error {
	c := b.command
	n := min(c.Connections, bareConns)
	var workers []benchWorker
	for i := range n {
		topic := i % c.Topics
		reader, err := pgbare.OpenReader(b.running, c.Store, b.setup.topic(topic))
		if err != nil {
			return err
		}
		b.closers = append(b.closers, reader.Close)
		end, limit := historyEnd(ends[topic]), int64(c.Batch)
		next := end * int64(i) / int64(n)
		workers = append(workers, &bareWorker{func(ctx context.Context) (work, error) {
			if next+limit > end {
				next = 0
			}
			messages, bytes, err := reader.Read(ctx, next, limit)
			if err == nil && messages != min(limit, end-next) {
				err = errors.New("the topic is not as long as it was")
			}
			next += messages
			return work{messages: messages, bytes: bytes}, err
		}})
	}
	b.addLoad("SELECT", workers)
	return nil
}
