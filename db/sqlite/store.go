// Package sqlite is the engine that keeps everything in one SQLite file.
//
// There is one writer: a single connection whose transactions begin with the write lock, so that
// P3's order of locks is kept by there being only one lock. Everything that only reads goes to a
// pool of connections of its own, which in WAL mode see the last commit and never wait for the
// writer. Commits are synced (synchronous=FULL) before they are visible to anybody.
//
// The file belongs to one process: a lock file beside it keeps a second broker out.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"runtime"
	"sync"

	"github.com/gofrs/flock"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// Config has the settings of a Store. The zero Config works.
type Config struct {
	// Logger gets what an operator must see: a damaged file, a full disk. The default is slog's.
	Logger *slog.Logger
	// Readers is how many connections read at a time. The default is the number of processors,
	// at least 4.
	Readers int
	// Identity draws the id by which a file knows itself, and a new one for a copy that was put back
	// (P13). The default is random.
	Identity func() string
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Readers <= 0 {
		c.Readers = max(4, runtime.NumCPU())
	}
	if c.Identity == nil {
		c.Identity = rand.Text
	}
	return c
}

// Store is a service.Store in one SQLite file.
type Store struct {
	path   string
	lock   *flock.Flock
	unsafe []string
	writer *writer
	pool   *sql.DB
	// statements are those prepared on the pool; read runs the generated queries through them.
	statements *statements
	read       *litesql.Queries
	// ahead lets a move go on reading where the last one has ended.
	ahead service.ReadAhead
	// sweeping keeps two Sweeps from choosing the same rows: the second would find nothing left
	// of them, and its 0 would say that all is done.
	sweeping sync.Mutex
	closing  sync.Once
}

var _ service.Store = (*Store)(nil)

// Open opens the store in a file, which is created, with its directory, when it is not there. It
// refuses a file that another broker has open, or on a network file system, or that is anything
// but a whole store of this version or an older one.
func Open(ctx context.Context, path string, c Config) (*Store, error) {
	c = c.withDefaults()
	place, err := claim(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: place.path, lock: place.lock, unsafe: place.unsafe}
	if err := s.open(ctx, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, c Config) error {
	if err := prepare(ctx, s.path); err != nil {
		return err
	}
	w, err := openWriter(ctx, s.path, c)
	if err != nil {
		return err
	}
	s.writer = w
	s.pool, err = openReaders(ctx, s.path, c.Readers)
	if err != nil {
		return err
	}
	s.statements = &statements{on: s.pool}
	s.read = litesql.New(s.statements)
	return nil
}

// Properties implements service.Store.
func (s *Store) Properties() service.Properties {
	return service.Properties{
		Engine: "sqlite", Durability: service.DurabilityFsync, Lanes: 1, Unsafe: s.unsafe,
	}
}

// Watch implements service.Store: nobody else writes to the file.
func (*Store) Watch(context.Context, func(service.TopicName)) {}

// Ping implements service.Store. After the disk was full it commits a small write, so that the
// store is found well again without waiting for the traffic that an unready broker does not get.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.read.GetStore(ctx); err != nil {
		return s.failed(err)
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		if !s.writer.full {
			return errUnchanged
		}
		return affected(tx.ProbeStore(ctx))
	})
}

// Close implements service.Store. To close twice does no harm.
func (s *Store) Close() (err error) {
	s.closing.Do(func() { err = s.close() })
	return err
}

// close lets go of the lock at last: the file is closed by then.
func (s *Store) close() error {
	var errs []error
	if s.statements != nil {
		errs = append(errs, s.statements.close())
	}
	if s.pool != nil {
		errs = append(errs, s.pool.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// failed classifies an error of a read.
func (s *Store) failed(err error) error {
	if err == nil {
		return nil
	}
	f := classify(err)
	if f.kind == kindDamaged {
		// Writing on into a damaged file makes it worse.
		s.writer.stop(err)
	}
	return f.refusal
}
