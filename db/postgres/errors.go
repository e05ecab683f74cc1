package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/topiq/topiq/service"
)

var (
	errReadOnly      = errors.New("the server is read-only")
	errCommitWarning = errors.New("the server warned during the commit")
	errCommitTag     = errors.New("the server did not commit")
	errBarrier       = errors.New("no write could be committed on a new connection")
	errNoCancel      = errors.New("a commit is not cancelled")
	errNoStandby     = errors.New("synchronous_standby_names is empty: no commit waits for a standby, and nothing is written")
	errCommitSlow    = errors.New("no answer to the commit yet")
	errNoAnswer      = errors.New("no answer in time")
)

// failed turns the error of anything but a COMMIT into one of service: nothing was committed. An
// error that is one of service already stays what it is.
func (s *Store) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if refusal := (*service.Error)(nil); errors.As(err, &refusal) {
		return err
	}
	if lostServer(err) {
		s.forgetServer(ctx, err)
	}
	return classify(err)
}

// classify looks at SQLSTATE only: texts are translated, and names of constraints change when a
// table is spread over shards.
func classify(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return service.ErrUnavailable.Because(err) // no connection, or it was lost, or the context ended
	}
	switch pg.Code {
	case "53100":
		return service.ErrStorageFull.Because(err)
	case "XX001", "XX002": // damaged table, damaged index
		return service.ErrInternal.Because(err)
	}
	switch pg.Code[:2] {
	case "22", "23":
		return service.ErrInternal.Because(fmt.Errorf("%w: %w", service.ErrBadData, err))
	}
	return service.ErrUnavailable.Because(err)
}

// lostServer reports whether an error says that the server has ended, is about to, has become
// read-only, or does not answer: the other connections lead to the same server. A context of a caller
// that ends closes a connection too, but says nothing about the server.
func lostServer(err error) bool {
	var (
		pg      *pgconn.PgError
		network *net.OpError
		connect *pgconn.ConnectError
	)
	if errors.As(err, &pg) && len(pg.Code) == 5 {
		switch pg.Code {
		case "25006", "57P01", "57P02", "57P03":
			return true
		}
		return pg.Code[:2] == "08"
	}
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, pgconn.ErrConnClosed, errReadOnly, errNoAnswer} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return errors.As(err, &network) || errors.As(err, &connect)
}

// forgetServer replaces all connections, those in use as soon as they are given back. Otherwise
// each call in turn would meet one that died with the server, or one to a primary that was demoted.
func (s *Store) forgetServer(ctx context.Context, cause error) {
	s.log.DebugContext(ctx, "the server is lost, connecting anew", "error", cause)
	s.writes.Reset()
	s.reads.Reset()
	s.ahead.Forget()
	s.moved.forget()
}
