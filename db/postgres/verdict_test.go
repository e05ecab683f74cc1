package postgres

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/topiq/topiq/service"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		tag     string
		err     error
		warning *pgconn.Notice
		want    error
	}{
		{name: "committed", tag: "COMMIT"},
		{name: "committed with a warning", tag: "COMMIT", warning: &pgconn.Notice{}, want: service.ErrOutcomeUnknown},
		{name: "rolled back", tag: "ROLLBACK", want: service.ErrOutcomeUnknown},
		{name: "another tag", tag: "", want: service.ErrOutcomeUnknown},
		{name: "connection lost", err: io.ErrUnexpectedEOF, want: service.ErrOutcomeUnknown},
		{name: "context ended", err: context.Canceled, want: service.ErrOutcomeUnknown},
		{name: "server ends", err: &pgconn.PgError{Code: "57P01"}, want: service.ErrOutcomeUnknown},
		{name: "an error that claims it is safe", err: unsent{}, want: service.ErrOutcomeUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := verdict(test.tag, test.err, test.warning); !errors.Is(got, test.want) {
				t.Errorf("verdict = %v, want %v", got, test.want)
			}
		})
	}
}

// unsent is an error that claims to be from before the first byte was sent, as pgx has them.
type unsent struct{}

func (unsent) Error() string     { return "unsent" }
func (unsent) SafeToRetry() bool { return true }

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		err     error
		want    error
		badData bool
		lost    bool
	}{
		{name: "text that is not UTF-8", err: &pgconn.PgError{Code: "22021"}, want: service.ErrInternal, badData: true},
		{name: "unique violation", err: &pgconn.PgError{Code: "23505"}, want: service.ErrInternal, badData: true},
		{name: "disk full", err: &pgconn.PgError{Code: "53100"}, want: service.ErrStorageFull},
		{name: "damaged table", err: &pgconn.PgError{Code: "XX001"}, want: service.ErrInternal},
		{name: "lock timeout", err: &pgconn.PgError{Code: "55P03"}, want: service.ErrUnavailable},
		{name: "deadlock", err: &pgconn.PgError{Code: "40P01"}, want: service.ErrUnavailable},
		{name: "serialization", err: &pgconn.PgError{Code: "40001"}, want: service.ErrUnavailable},
		{name: "shutdown", err: &pgconn.PgError{Code: "57P01"}, want: service.ErrUnavailable, lost: true},
		{name: "read-only", err: &pgconn.PgError{Code: "25006"}, want: service.ErrUnavailable, lost: true},
		{name: "connection exception", err: &pgconn.PgError{Code: "08006"}, want: service.ErrUnavailable, lost: true},
		{name: "connection lost", err: io.ErrUnexpectedEOF, want: service.ErrUnavailable, lost: true},
		{name: "context ended", err: context.DeadlineExceeded, want: service.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := classify(test.err)
			if !errors.Is(got, test.want) || errors.Is(got, service.ErrBadData) != test.badData {
				t.Errorf("classify = %v, want %v", got, test.want)
			}
			if !errors.Is(got, test.err) {
				t.Errorf("the cause is not in the chain of %v", got)
			}
			if lostServer(test.err) != test.lost {
				t.Errorf("lostServer = %v", !test.lost)
			}
		})
	}
}
