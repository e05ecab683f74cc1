package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/topiq/topiq/torture/disk"
	"github.com/topiq/topiq/torture/history"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// diskFull is N11.
func diskFull() Nemesis {
	return Nemesis{
		ID: "N11", Name: "disk full, and room again", Needs: []Need{Root(), LoopDisk()},
		Engines: []string{SQLite, Postgres}, Faults: "full disks", Round: diskFullRound,
	}
}

// fullLimit is how long it may take until somebody is refused on a full disk.
const fullLimit = 20 * time.Second

func diskFullRound(ctx context.Context, r *Round) error {
	if r.Engine == SQLite {
		return r.fullSQLite(ctx)
	}
	return r.fullPostgres(ctx)
}

// fullSQLite fills the disk of a broker. It refuses, and goes on by itself when there is room again.
// The second time the power goes while the disk is full: what was acknowledged meanwhile must have
// been on it (I21).
func (r *Round) fullSQLite(ctx context.Context) error {
	d, err := r.disk(ctx, sqliteDisk)
	if err != nil {
		return err
	}
	r.UseStore("sqlite:" + filepath.Join(d.Path(), "topiq.db"))
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{BigPayloads: true}); err != nil {
		return err
	}
	for i := range 3 {
		if err := r.fill(ctx, d, hasCode("storage_full"), nil); err != nil {
			return err
		}
		powerless := i == 1
		if powerless {
			b.Expect()
			if err := r.cutPower(ctx, d, pidsOf(b)); err != nil {
				return err
			}
			b.Kill()
			if err := d.PowerBack(ctx); err != nil {
				return err
			}
		}
		if err := d.Free(); err != nil {
			return err
		}
		ended := time.Now()
		if powerless {
			if err := b.Start(ctx); err != nil {
				r.Violation("the broker does not start after its disk was full: %v", err)
				return nil
			}
		}
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// fill fills a disk under traffic and waits until requests to produce meet it. use, if there is one,
// uses up what a server has set aside.
func (r *Round) fill(ctx context.Context, d *disk.Disk, met func(*history.Op) bool, use func()) error {
	if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(time.Second)))); err != nil {
		return err
	}
	r.FaultSoon()
	now := r.workloads[0].Recorder().Now()
	var failed error
	ok, err := until(ctx, fullLimit, func() bool {
		// What the servers give back meanwhile is taken as well.
		if failed = d.Fill(0); failed != nil {
			return true
		}
		if use != nil {
			use()
		}
		return r.since(now, met) >= 3
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if !ok {
		r.Invalid("no three requests were refused within %s of the disk being full", fullLimit)
	}
	return nil
}

// fullPostgres fills first the volume of the server's log, where the server must stop, and then that
// of its data, where it refuses what does not fit.
func (r *Round) fullPostgres(ctx context.Context) error {
	data, err := r.disk(ctx, postgresDisk)
	if err != nil {
		return err
	}
	wal, err := r.disk(ctx, postgresDisk)
	if err != nil {
		return err
	}
	pg, err := r.postgresApart(ctx, data, wal)
	if err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 1, BrokerOptions{}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{BigPayloads: true}); err != nil {
		return err
	}
	for _, full := range []*disk.Disk{wal, data, wal, data} {
		met, use := hasCode("storage_full"), func() {}
		if full == wal {
			// Old files of the log wait to be used again. The server that has stopped cannot be asked.
			met, use = refused, func() { _ = pg.Exec(ctx, "postgres", "SELECT pg_switch_wal()") }
		}
		if err := r.fill(ctx, full, met, use); err != nil {
			return err
		}
		if err := full.Free(); err != nil {
			return err
		}
		if err := r.serverBack(ctx, pg); err != nil {
			return err
		}
		if err := r.Recovered(ctx, time.Now()); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// serverBack waits until a server that may have stopped itself accepts connections, and starts it
// where it has given up, as an operator would.
func (r *Round) serverBack(ctx context.Context, pg *server.Postgres) error {
	for range 5 {
		if pg.Running() {
			if pg.Wait(ctx) == nil {
				return nil
			}
		}
		if pg.Running() {
			continue
		}
		if err := pg.Start(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the server does not start: %s", pg.LogTail())
}

// postgresApart makes a server whose log has a disk of its own, in small files, so that it soon needs
// another.
func (r *Round) postgresApart(ctx context.Context, data, wal *disk.Disk) (*server.Postgres, error) {
	p, err := r.Postgres(ctx, PostgresOptions{
		Data: filepath.Join(data.Path(), "data"), Empty: true,
		Settings: []string{"max_wal_size=32MB", "min_wal_size=2MB", "checkpoint_timeout=30s"},
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sameOwner(p.Dir(), data.Path()), sameOwner(p.Dir(), wal.Path())); err != nil {
		return nil, err
	}
	err = p.Command(ctx, "initdb", "-D", p.Data(), "-X", filepath.Join(wal.Path(), "wal"), "--wal-segsize=1",
		"-N", "--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres")
	if err != nil {
		return nil, err
	}
	if _, err := os.Readlink(filepath.Join(p.Data(), "pg_wal")); err != nil {
		return nil, fmt.Errorf("the log is not apart: %w", err)
	}
	return p, r.open(ctx, p)
}
