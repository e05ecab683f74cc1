package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/topiq/topiq/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Brokers that find the schema being changed ask again each second, for ten minutes.
const (
	migrationLockSeconds  = 1
	migrationLockAttempts = 600
)

// migrate brings the schema up to date. Of several brokers that start at once one does it, the
// others wait for it.
//
// What holds them back is a session's advisory lock. It is fit for nothing else: a distributed
// Postgres keeps such locks on each node for itself, and some engines have the functions do nothing.
// Migrations go through one address, and the worst that two at once can do is fail.
func migrate(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrations: %w", err)
		}
	}()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(migrationLockSeconds, migrationLockAttempts))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	// Asked first, and without the lock, so that a broker that starts on a finished schema neither
	// waits for others nor needs the right to change it.
	if pending, err := provider.HasPending(ctx); err == nil && !pending {
		return known(ctx, provider)
	}
	for {
		r, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return known(ctx, provider)
		}
		if err != nil {
			return err
		}
		log.InfoContext(ctx, "migration applied", "version", r.Source.Version, "duration", r.Duration)
		if err := fault.Point("migrate.between_steps"); err != nil {
			return err
		}
	}
}

// known refuses a schema that a later version of topiq has made.
func known(ctx context.Context, provider *goose.Provider) error {
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("the database has schema version %d, this topiq knows %d: start a later topiq", current, target)
	}
	return nil
}
