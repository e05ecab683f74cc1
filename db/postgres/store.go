// Package postgres is the engine for many brokers on one PostgreSQL.
//
// The row lock on a topic's head orders its appends, so any number of brokers may write to the same
// topics. A unit of work is one transaction at READ COMMITTED whose statements run one after another
// (P3), each on a snapshot taken after the locks before it were granted. What is decided in their
// midst is decided by package service. A commit counts as success by the three conditions of P8 and
// no others.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// Config has the settings of a Store. The zero Config works.
type Config struct {
	// Logger is told of migrations and of lost servers. The default is slog.Default.
	Logger *slog.Logger
	// UnsafeDurability accepts a server whose settings let it lose what it acknowledged. What is
	// unsafe is then listed in Properties.
	UnsafeDurability bool
	// Replicated is the operator's word that each commit waits for a synchronous standby, and that only
	// such a standby is ever promoted (P13). While the server names none, nothing is written.
	Replicated bool
	// MaxConns bounds the connections to the database, for writes and reads together. Default 20.
	MaxConns int
	// Lanes is how many groups may be committing at a time (P7). The default is as many as there are processors, at least
	// 2, at most 4.
	Lanes int
}

const (
	defaultMaxConns = 20
	// With more groups at a time each is smaller, and costs nearly as much. On two processors, and so many topics that no
	// group waits for the head of another, two lanes are faster by about an eighth than four.
	fewestLanes, mostLanes = 2, 4
	// spareConns are the connections there must be beside one for each lane: two for other writes,
	// two for reads.
	spareConns = 4
	// groupBytes keeps the lock on a head well below lockTimeout, at which other brokers give up.
	groupBytes = 8 << 20
)

func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Lanes == 0 {
		c.Lanes = min(max(fewestLanes, runtime.GOMAXPROCS(0)), mostLanes)
	}
	if c.MaxConns == 0 {
		c.MaxConns = max(defaultMaxConns, c.Lanes+2*spareConns)
	}
	if c.Lanes < 1 || c.Lanes > service.Buckets {
		return c, fmt.Errorf("lanes: %d is not in 1 … %d", c.Lanes, service.Buckets)
	}
	if c.MaxConns < c.Lanes+spareConns {
		return c, fmt.Errorf("connections: %d are too few for %d lanes, give at least %d",
			c.MaxConns, c.Lanes, c.Lanes+spareConns)
	}
	return c, nil
}

// split shares the connections out. Reads have a pool of their own, so that no number of readers
// makes a produce wait for a connection, and the other way round.
func (c Config) split() (writes, reads int) {
	reads = max(2, (c.MaxConns-c.Lanes)/2)
	return c.MaxConns - reads, reads
}

// Store is a service.Store on PostgreSQL.
type Store struct {
	properties service.Properties
	log        *slog.Logger
	writes     *pgxpool.Pool
	reads      *pgxpool.Pool

	// replicated has each unit of work look whether there is a standby to wait for.
	replicated bool
	hints      *hints
	// spread says that the database may be a distributed one, which wants a lane for each bucket (ADR 5): nothing then goes
	// on from what is known, for such statements are not of one bucket.
	spread bool
	// known lets an append go on where the last one has ended.
	known *knownRows
	// moved likewise lets a move go on.
	moved *knownMoves
	// ahead lets a move go on reading where the last one has ended.
	ahead service.ReadAhead

	// commits counts the goroutines that wait for the answer to a COMMIT; closing ends those that
	// nobody waits for any more.
	commits sync.WaitGroup
	closing chan struct{}
	// stranded has one entry for each COMMIT that was given up and has given its place in the pool away.
	stranded chan struct{}
	// notifying ends the goroutine that notifies other brokers; notified waits for it.
	notifying context.CancelFunc
	notified  sync.WaitGroup
}

var _ service.Store = (*Store)(nil)

// Open connects to a database, refuses it if its settings make acknowledgements untrue, brings its
// schema up to date and returns a Store on it. Several brokers may open one database at once.
func Open(ctx context.Context, url string, c Config) (*Store, error) {
	s, err := open(ctx, url, c)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, url string, c Config) (*Store, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	base, err := parse(url)
	if err != nil {
		return nil, err
	}
	unsafe, err := inspectServer(ctx, base.ConnConfig, c.UnsafeDurability)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, base.ConnConfig, c.Logger); err != nil {
		return nil, err
	}
	s := &Store{
		log: c.Logger, closing: make(chan struct{}),
		known: newKnownRows(), moved: newKnownMoves(), spread: c.Lanes == service.Buckets,
		properties: service.Properties{
			Engine: "postgres", Durability: service.DurabilityFsync, Lanes: c.Lanes, GroupBytes: groupBytes,
			Shared: true, Unsafe: unsafe,
		},
	}
	if c.Replicated {
		s.properties.Durability = service.DurabilityReplicated
		s.replicated = true
	}
	writes, reads := c.split()
	s.stranded = make(chan struct{}, writes)
	write := session{unsafe: c.UnsafeDurability, replicated: c.Replicated, statementLimit: tripLimit}
	if s.writes, err = newPool(ctx, base, writes, write.prepare); err != nil {
		return nil, err
	}
	read := session{unsafe: c.UnsafeDurability, replicated: c.Replicated, statementLimit: readLimit}
	if s.reads, err = newPool(ctx, base, reads, read.prepare); err != nil {
		s.writes.Close()
		return nil, err
	}
	if err := s.spoil(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// Without a standby it can still be read.
	switch err := s.Ping(ctx); {
	case errors.Is(err, errNoStandby):
		s.log.WarnContext(ctx, "nothing is written until a standby is configured", "engine", "postgres", "error", err)
	case err != nil:
		return nil, errors.Join(err, s.Close())
	}
	s.hints = newHints(base.ConnConfig)
	hinting, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.notifying = stop
	s.notified.Go(func() { s.hints.notify(hinting) })
	return s, nil
}

// Properties implements service.Store.
func (s *Store) Properties() service.Properties { return s.properties }

// Ping implements service.Store: a server that has become read-only, as a demoted primary does,
// does not answer it.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var readOnly bool
	var standbys string
	err := s.writes.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean, "+
		"current_setting('synchronous_standby_names')").Scan(&readOnly, &standbys)
	switch {
	case err != nil:
	case readOnly:
		err = errReadOnly
	case s.replicated && standbys == "":
		err = errNoStandby
	}
	return s.failed(ctx, err)
}

// Close implements service.Store. A COMMIT that was given up because no answer came is left to the
// server.
func (s *Store) Close() error {
	if s.notifying != nil {
		s.notifying()
		s.notified.Wait()
	}
	close(s.closing)
	s.commits.Wait()
	s.reads.Close()
	s.writes.Close()
	return nil
}

// read runs queries that change nothing, each on its own. They are answered by the primary, and so
// see every commit that was acknowledged before.
func (s *Store) read(ctx context.Context, query step) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return s.failed(ctx, query(ctx, pgsql.New(s.reads)))
}
