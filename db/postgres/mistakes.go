//go:build !badideas

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/service"
)

// These are the places of classic mistakes that take more than a condition (mistakes_badideas.go has
// them). In this build each does what it should.

// writeAppend runs the unit of work of an append.
func (s *Store) writeAppend(ctx context.Context, work func(context.Context, *unit) error) error {
	return s.write(ctx, work)
}

// lockFor returns how a group begins its transaction and reads its state (P3 a, b).
func (s *Store) lockFor([]service.AppendRequest) lockFunc { return lockState }

// goesOn says whether appends may go on from what is known.
func goesOn() bool { return true }

// commitContext is what a COMMIT runs on: no end of ctx ends it.
func commitContext(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func watchContexts(*pgx.ConnConfig) {}

func (s *Store) spoil(context.Context) error { return nil }
