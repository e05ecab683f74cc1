package nemesis

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/topiq/topiq/torture/disk"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// powerCutPostgres is N3.
func powerCutPostgres() Nemesis {
	return Nemesis{
		ID: "N3", Name: "power cut of PostgreSQL's disk (ext4, XFS)", Needs: []Need{Root(), LoopDisk()},
		Engines: []string{Postgres}, Cut: true, Short: 1, Faults: "power cuts", Round: powerCutPostgresRound,
	}
}

const (
	// postgresDisk has room for a small database and its log. The image takes only what is written.
	postgresDisk = 640 << 20
	sqliteDisk   = 96 << 20
	postgresCuts = 6
	sqliteCuts   = 15
)

// postgresOnDisk makes and starts a server whose data directory is on a disk. What initdb has made is
// synced: to lose it would prove nothing.
func (r *Round) postgresOnDisk(ctx context.Context, d *disk.Disk) (*server.Postgres, error) {
	p, err := r.Postgres(ctx, PostgresOptions{
		Data: filepath.Join(d.Path(), "data"), Empty: true,
		Settings: []string{"max_wal_size=96MB", "min_wal_size=32MB", "checkpoint_timeout=30s"},
	})
	if err != nil {
		return nil, err
	}
	if err := sameOwner(p.Dir(), d.Path()); err != nil {
		return nil, err
	}
	if err := errors.Join(p.CopyFrom(ctx, r.Env.Template), d.Sync()); err != nil {
		return nil, err
	}
	return p, r.open(ctx, p)
}

// open starts a server, makes the database of the round and makes it the store.
func (r *Round) open(ctx context.Context, p *server.Postgres) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	if err := p.Exec(ctx, "postgres", "CREATE DATABASE "+Database); err != nil {
		return err
	}
	r.UseStore(p.URL(Database))
	return nil
}

// disk makes a disk that is removed when the round is over.
func (r *Round) disk(ctx context.Context, bytes int64) (*disk.Disk, error) {
	kind := r.fileSystem()
	if kind == disk.XFS {
		bytes = max(bytes, disk.MinXFSBytes)
	}
	d, err := disk.Create(ctx, "", kind, bytes)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() {
		if err := d.Remove(); err != nil {
			r.Log.ErrorContext(ctx, "a disk was not removed", "error", err)
		}
	})
	r.Result.Extra[string(kind)] = 1
	return d, nil
}

// powerCutPostgresRound takes the power away under a server, whole data directory and log, and mounts
// the disk anew. The broker lives on: it is another machine.
func powerCutPostgresRound(ctx context.Context, r *Round) error {
	d, err := r.disk(ctx, postgresDisk)
	if err != nil {
		return err
	}
	pg, err := r.postgresOnDisk(ctx, d)
	if err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 1, BrokerOptions{}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	for range postgresCuts {
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(700*time.Millisecond)))); err != nil {
			return err
		}
		if err := r.cutPower(ctx, d, pg.Pids); err != nil {
			return err
		}
		pg.Kill()
		if err := d.PowerBack(ctx); err != nil {
			return err
		}
		if err := pg.Start(ctx); err != nil {
			r.Violation("I1: the server does not start after a power cut: %v", err)
			return nil
		}
		if err := r.Recovered(ctx, time.Now()); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}
