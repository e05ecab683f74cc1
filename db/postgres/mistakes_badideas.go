//go:build badideas

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/service"
)

const (
	// ackEarly is by how much an acknowledgement is too early.
	ackEarly = 5 * time.Millisecond
	// requestLimit is how long a request may take whose context a COMMIT should not run on.
	requestLimit = 2 * time.Second
	// judgeLimit is how long the server is asked what became of a transaction.
	judgeLimit = 20 * time.Second
)

// spoil prepares the database for mistakes that its schema would not let happen. It is not undone.
func (s *Store) spoil(ctx context.Context) (err error) {
	var statement string
	switch {
	case fault.Mistake("offset_from_sequence"):
		statement = "CREATE TABLE IF NOT EXISTS sequences (topic_id bigint PRIMARY KEY, next_offset bigint NOT NULL)"
	case fault.Mistake("dedupe_before_lock"), fault.Mistake("dedupe_in_one_statement"):
		statement = "DROP INDEX IF EXISTS messages_by_seq"
	default:
		return nil
	}
	for range 5 { // several brokers may start at once, and the statements do not wait for each other
		if _, err = s.writes.Exec(ctx, statement); err == nil {
			return nil
		}
	}
	return err
}

// writeAppend runs the unit of work of an append, but for two mistakes: to acknowledge before the
// COMMIT, and to ask the server what became of a COMMIT whose answer was lost.
func (s *Store) writeAppend(ctx context.Context, work func(context.Context, *unit) error) error {
	switch {
	case fault.Mistake("ack_before_commit"):
		return s.writeLater(ctx, work)
	case fault.Mistake("xact_status_as_judge"):
		return s.writeAndAsk(ctx, work)
	}
	return s.write(ctx, work)
}

func (s *Store) writeLater(ctx context.Context, work func(context.Context, *unit) error) error {
	planned := make(chan error, workAttempts+1)
	s.commits.Go(func() {
		planned <- s.write(context.WithoutCancel(ctx), func(ctx context.Context, u *unit) error {
			err := work(ctx, u)
			if err == nil {
				planned <- nil
				<-time.After(ackEarly)
			}
			return err
		})
	})
	return <-planned
}

func (s *Store) writeAndAsk(ctx context.Context, work func(context.Context, *unit) error) error {
	var transaction string
	err := s.write(ctx, func(ctx context.Context, u *unit) error {
		if err := work(ctx, u); err != nil {
			return err
		}
		return u.conn.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&transaction)
	})
	if !errors.Is(err, service.ErrOutcomeUnknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), judgeLimit)
	defer cancel()
	for ctx.Err() == nil {
		var status string
		asked := s.reads.QueryRow(ctx, "SELECT coalesce(pg_xact_status($1::text::xid8), '')", transaction).Scan(&status)
		switch {
		case asked == nil && status == "committed":
			return nil
		case asked == nil && status == "aborted":
			return service.ErrUnavailable.Because(err)
		}
		<-time.After(ackEarly)
	}
	return err
}

// lockFor returns how a group begins its transaction and reads its state, but for three mistakes: to
// take offsets without a lock, to look the producers up before the lock, and to do so in the
// statement that locks, on its snapshot.
func (s *Store) lockFor(requests []service.AppendRequest) lockFunc {
	switch {
	case fault.Mistake("offset_from_sequence"):
		return func(ctx context.Context, u *unit, parts []*part) (service.AppendState, error) {
			return s.takeOffsets(ctx, u, parts, requests)
		}
	case fault.Mistake("dedupe_before_lock"):
		return lookFirst(`SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count,
			p.instance, p.fenced, p.last_used, p.token_id FROM producers AS p WHERE p.bucket = $1 AND p.topic_id = ANY ($2)`)
	case fault.Mistake("dedupe_in_one_statement"):
		return lookFirst(`WITH locked AS MATERIALIZED (
			SELECT topic_id FROM heads WHERE bucket = $1 AND topic_id = ANY ($2) ORDER BY topic_id FOR NO KEY UPDATE
		) SELECT p.bucket, p.producer_id, p.topic_id, p.name, p.epoch, p.next_seq, p.last_offset, p.count,
			p.instance, p.fenced, p.last_used, p.token_id FROM locked JOIN producers AS p ON p.bucket = $1 AND p.topic_id = locked.topic_id`)
	}
	return lockState
}

// goesOn says whether appends may go on from what is known: not where the mistake is in how they lock and read.
func goesOn() bool {
	return !fault.Mistake("offset_from_sequence") && !fault.Mistake("dedupe_before_lock") && !fault.Mistake("dedupe_in_one_statement")
}

// commitContext is what a COMMIT runs on: that of a request, for one mistake.
func commitContext(ctx context.Context) context.Context {
	if !fault.Mistake("commit_on_request_context") {
		return context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// watchContexts makes pgx, when a context ends, ask the server to cancel what it runs, and wait for
// the answer.
func watchContexts(config *pgx.ConnConfig) {
	if !fault.Mistake("commit_on_request_context") {
		return
	}
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: rollbackLimit}
	}
}
