package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/topiq/topiq/service"
)

// kind is what an error of the driver means for the store.
type kind int

const (
	// kindPassing: the call failed, the next one may well succeed.
	kindPassing kind = iota
	// kindData: SQLite refused the data itself.
	kindData
	// kindFull: there is no room.
	kindFull
	// kindBroken: the file cannot be written, or what was written cannot be trusted to be there.
	kindBroken
	// kindDamaged: the file is not what SQLite left.
	kindDamaged
)

// kindOf sorts SQLite's primary result codes. Those that are not here are bugs of ours or of the
// driver (ERROR, MISUSE, RANGE, …): the call fails with ErrInternal and the store goes on.
func kindOf(code int) (k kind, known bool) {
	switch code {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_INTERRUPT, codes.SQLITE_ABORT,
		codes.SQLITE_NOMEM, codes.SQLITE_PROTOCOL, codes.SQLITE_SCHEMA:
		return kindPassing, true
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_MISMATCH, codes.SQLITE_TOOBIG:
		return kindData, true
	case codes.SQLITE_FULL:
		return kindFull, true
	case codes.SQLITE_IOERR, codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_AUTH,
		codes.SQLITE_CANTOPEN, codes.SQLITE_NOLFS:
		return kindBroken, true
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return kindDamaged, true
	}
	return kindPassing, false
}

// failure is a classified error: what it means here, and what the caller is told when nothing was
// committed.
type failure struct {
	kind    kind
	refusal error
}

// classify is the one place where an error of the driver becomes one of the service. It looks at
// codes, never at texts.
func classify(err error) failure {
	if refusal := (*service.Error)(nil); errors.As(err, &refusal) {
		return failure{kindPassing, err}
	}
	code, ok := resultCode(err)
	if !ok {
		// Not SQLite's: a context that ended, or a connection that database/sql has closed.
		return failure{kindPassing, service.ErrUnavailable.Because(err)}
	}
	k, known := kindOf(code)
	if !known {
		return failure{kindPassing, service.ErrInternal.Because(err)}
	}
	switch k {
	case kindData:
		return failure{k, service.ErrInternal.Because(fmt.Errorf("%w: %w", service.ErrBadData, err))}
	case kindFull:
		return failure{k, service.ErrStorageFull.Because(err)}
	case kindDamaged:
		return failure{k, service.ErrInternal.Because(err)}
	default:
		return failure{k, service.ErrUnavailable.Because(err)}
	}
}

// resultCode returns SQLite's primary result code, if the error is SQLite's.
func resultCode(err error) (int, bool) {
	var e *driver.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code() & 0xff, true
}

// contradiction is an ErrInternal for what cannot be, seen in time: nothing is committed.
func contradiction(format string, args ...any) error {
	return service.ErrInternal.Because(fmt.Errorf(format, args...))
}

// affected checks that a statement changed the one row it is about.
func affected(rows int64, err error) error {
	if err == nil && rows != 1 {
		return contradiction("a statement about one row changed %d", rows)
	}
	return err
}

// ended is the refusal of a call whose context ended before anything was begun.
func ended(ctx context.Context) error { return service.ErrUnavailable.Because(context.Cause(ctx)) }
