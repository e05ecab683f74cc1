//go:build !badideas

package sqlite

import "context"

// These are the places of classic mistakes that take more than a condition (mistakes_badideas.go has
// them). In this build each does what it should.

// doAppend runs the transaction of an append.
func (w *writer) doAppend(ctx context.Context, work func(context.Context, *tx) error) error {
	return w.do(ctx, work)
}

func spoiled(settings []setting) []setting { return settings }
