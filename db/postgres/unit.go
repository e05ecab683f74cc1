package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

const (
	// tripLimit bounds one round trip of a unit of work, and the wait for a connection to do it on. It
	// is longer than a wait for a lock may be (lockTimeout), and about as long as the server lets a
	// transaction stand idle: a connection that passes nothing on is given up here when its locks
	// are released there.
	tripLimit = 5 * time.Second
	// workLimit bounds a unit of work up to its COMMIT, readLimit a read, rollbackLimit the end of
	// a unit that failed.
	workLimit     = 20 * time.Second
	readLimit     = 10 * time.Second
	rollbackLimit = 2 * time.Second
	// workAttempts is how often a unit of work is begun again because it learnt that it needs ids,
	// or found that what it had read before its locks has changed.
	workAttempts = 5
)

var (
	errNeedIDs        = errors.New("ids are needed")
	errStale          = errors.New("what was read before the lock has changed")
	errNothingToWrite = errors.New("nothing to write")
)

// unit is one transaction.
type unit struct {
	conn  *pgxpool.Conn
	begun bool
	ids   *newIDs
	// replicated refuses to write where no commit would wait for a standby.
	replicated bool
}

// run sends statements in one round trip. The first ones begin the transaction.
func (u *unit) run(ctx context.Context, steps ...step) error {
	begin := !u.begun
	u.begun = true
	if begin && u.replicated {
		steps = append([]step{hasStandby}, steps...)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tripLimit, errNoAnswer)
	defer cancel()
	return withCause(ctx, send(ctx, u.conn.Conn(), begin, steps...))
}

// hasStandby refuses a unit of work under the operator's word that its commit waits for a standby,
// when no standby is configured (P13). It is in the first round trip of each unit. A setting that is
// taken away later, while the unit is under way, is found by the next one.
func hasStandby(ctx context.Context, q *pgsql.Queries) error {
	names, err := q.GetStandbyNames(ctx)
	if err == nil && names == "" {
		err = service.ErrUnavailable.Because(errNoStandby)
	}
	return err
}

// write runs a unit of work: one transaction, committed by P8 when work returns nil and rolled back
// when it returns an error. errNothingToWrite rolls back too and is success, errStale begins anew.
// Everything work changes outside it must be set anew by each run.
func (s *Store) write(ctx context.Context, work func(ctx context.Context, u *unit) error) error {
	ids := &newIDs{have: map[service.Bucket][]int64{}}
	var err error
	for range workAttempts {
		ids.rewind()
		err = s.attempt(ctx, &unit{ids: ids, replicated: s.replicated}, work)
		switch {
		case errors.Is(err, errNothingToWrite):
			return nil
		case errors.Is(err, errNeedIDs):
			if err := s.take(ctx, ids); err != nil {
				return err
			}
		case errors.Is(err, errStale):
		default:
			return s.failed(ctx, err)
		}
	}
	return service.ErrUnavailable.Because(err)
}

func (s *Store) attempt(ctx context.Context, u *unit, work func(context.Context, *unit) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	if u.conn, err = s.acquire(ctx); err != nil {
		return err
	}
	committing := false
	defer func() {
		if !committing {
			u.rollback(ctx)
		}
	}()
	if err := work(ctx, u); err != nil {
		if errors.Is(err, errNoAnswer) {
			s.terminate(ctx, u.conn.Conn())
		}
		return err
	}
	committing = true
	return s.finish(ctx, u.conn)
}

// acquire takes a connection for a unit of work.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, tripLimit, errNoAnswer)
	defer cancel()
	conn, err := s.writes.Acquire(ctx)
	if stat := s.writes.Stat(); err != nil && stat.ConstructingConns() == 0 && stat.AcquiredConns() == stat.MaxConns() {
		return nil, err // all are in use: that is not the server's fault
	}
	return conn, withCause(ctx, err)
}

// withCause tells a limit of ours from the end of the caller's context. When the limit ends a call,
// the server is not known to be lost, but its connections are not to be trusted (lostServer).
func withCause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return errors.Join(errNoAnswer, err)
	}
	return err
}

// rollback gives the connection back. If the server does not answer, the pool closes it, and the
// server rolls back when it notices.
func (u *unit) rollback(ctx context.Context) {
	conn := u.conn.Conn()
	if conn.IsClosed() {
		u.conn.Hijack() // pgx waits for the server's goodbye, which the pool need not
		return
	}
	defer u.conn.Release()
	if conn.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
		defer cancel()
		_, _ = conn.Exec(ctx, "rollback") // on failure the connection is not idle, and the pool closes it
	}
}

// newIDs are the ids a unit of work may use. They are taken before it, in a transaction of their
// own: every registration in a bucket needs the row of its counter, and a lock on it inside a unit
// would make them wait for each other's commits. A unit that lacks one is rolled back and begun
// again with as many as it asked for, so that those that turn out to need none take none.
type newIDs struct {
	have  map[service.Bucket][]int64
	asked map[service.Bucket]int
}

func (n *newIDs) rewind() { n.asked = map[service.Bucket]int{} }

// next returns an id, or errNeedIDs. A unit that needs several may go on asking after the error, and
// then fail with it.
func (n *newIDs) next(bucket service.Bucket) (int64, error) {
	i := n.asked[bucket]
	n.asked[bucket]++
	if i >= len(n.have[bucket]) {
		return 0, errNeedIDs
	}
	return n.have[bucket][i], nil
}

// take gets the ids that were asked for and not there. An id whose transaction was not committed for
// certain is never used: the counter of another server might give it out again.
func (s *Store) take(ctx context.Context, ids *newIDs) error {
	missing := map[service.Bucket]*pgsql.TakeIDsParams{}
	for bucket, asked := range ids.asked {
		if count := asked - len(ids.have[bucket]); count > 0 {
			missing[bucket] = &pgsql.TakeIDsParams{Bucket: int32(bucket), Count: int64(count)}
		}
	}
	last := map[int32]int64{}
	var steps []step
	for _, params := range inOrder(missing) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) (err error) {
			last[params.Bucket], err = q.TakeIDs(ctx, *params)
			return err
		})
	}
	err := s.attempt(ctx, &unit{}, func(ctx context.Context, u *unit) error { return u.run(ctx, steps...) })
	if errors.Is(err, service.ErrOutcomeUnknown) {
		return service.ErrUnavailable.Because(err) // some ids may be lost, and nothing else was done
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	for bucket, params := range missing {
		for n := last[params.Bucket] - params.Count + 1; n <= last[params.Bucket]; n++ {
			ids.have[bucket] = append(ids.have[bucket], service.NewID(n, bucket))
		}
	}
	return nil
}

// exactly makes a step of a statement that must write so many rows.
func exactly(rows int, what string, exec func(context.Context, *pgsql.Queries) (int64, error)) step {
	return func(ctx context.Context, q *pgsql.Queries) error {
		n, err := exec(ctx, q)
		if err == nil && n != int64(rows) {
			err = service.ErrInternal.Because(fmt.Errorf("%s: %d rows were written, not %d", what, n, rows))
		}
		return err
	}
}
