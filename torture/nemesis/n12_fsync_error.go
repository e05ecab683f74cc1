package nemesis

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/topiq/topiq/torture/faultfs"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// fsyncError is N12.
func fsyncError() Nemesis {
	return Nemesis{
		ID: "N12", Name: "a sync that is slow, and one that fails", Needs: []Need{Root(), Fuse()},
		Engines: []string{SQLite, Postgres}, Cut: true, Faults: "failed syncs", Round: fsyncErrorRound,
	}
}

const (
	slowSync  = 300 * time.Millisecond
	syncLimit = 20 * time.Second // for a rule to be met
)

func fsyncErrorRound(ctx context.Context, r *Round) error {
	backing, point := r.Path("backing"), r.Path("fuse")
	for _, dir := range []string{backing, point} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	f, err := faultfs.Mount(backing, point)
	if err != nil {
		return err
	}
	r.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			r.Log.ErrorContext(ctx, "a file system was not unmounted", "error", err)
		}
	})
	if r.Engine == SQLite {
		return r.failingSyncSQLite(ctx, f)
	}
	return r.failingSyncPostgres(ctx, f)
}

// slowSyncs makes every sync slow for a while. Nobody may fail for it.
func (r *Round) slowSyncs(ctx context.Context, f *faultfs.FS) error {
	rule := f.Set(&faultfs.Rule{Call: faultfs.Fsync, Delay: slowSync})
	defer f.Unset(rule)
	if err := server.Pause(ctx, 8*slowSync); err != nil {
		return err
	}
	if rule.Fired() == 0 {
		r.Invalid("no sync was slow")
	}
	return nil
}

// failSync makes one sync of the files named fail, and says when. provoke brings a sync about, nil if
// there are enough.
func (r *Round) failSync(ctx context.Context, f *faultfs.FS, match func(string) bool, provoke func()) (at int64, err error) {
	if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(500*time.Millisecond)))); err != nil {
		return 0, err
	}
	r.FaultSoon()
	rule := f.Set(&faultfs.Rule{Call: faultfs.Fsync, Errno: syscall.EIO, Times: 1, Match: match})
	defer f.Unset(rule)
	if provoke != nil {
		var group sync.WaitGroup
		group.Go(provoke)
		defer group.Wait()
	}
	met, err := until(ctx, syncLimit, func() bool { return rule.Fired() > 0 })
	if !met {
		r.Invalid("no sync met the rule within %s", syncLimit)
	}
	return r.workloads[0].Recorder().Now(), err
}

// failingSyncSQLite fails a sync of the WAL. From then on the broker acknowledges nothing until it is
// started again (I21), although every later sync would succeed.
func (r *Round) failingSyncSQLite(ctx context.Context, f *faultfs.FS) error {
	r.UseStore("sqlite:" + f.Path("topiq.db"))
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	if err := r.slowSyncs(ctx, f); err != nil {
		return err
	}
	for range 5 {
		at, err := r.failSync(ctx, f, func(path string) bool { return strings.HasSuffix(path, "-wal") }, nil)
		if err != nil {
			return err
		}
		if err := server.Pause(ctx, time.Second); err != nil {
			return err
		}
		if n := r.since(at, acked); n > 0 {
			r.Violation("I21: %d requests were acknowledged after a sync had failed", n)
		}
		if r.since(at, refused) == 0 {
			r.Invalid("nobody was refused after a sync had failed")
		}
		if status, ok := b.Ready(ctx); ok || status == 0 {
			r.Violation("I21: /readyz answered %d after a sync had failed", status)
		}
		// What it cannot write it cannot finish either: it may say so as it ends.
		b.Kill()
		ended := time.Now()
		if err := b.Start(ctx); err != nil {
			r.Violation("the broker does not start after a sync had failed: %v", err)
			return nil
		}
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// failingSyncPostgres fails a sync of the log or, at a checkpoint, of the data. The server panics and
// recovers; where it gives up it is started.
func (r *Round) failingSyncPostgres(ctx context.Context, f *faultfs.FS) error {
	pg, err := r.Postgres(ctx, PostgresOptions{
		Data: f.Path("data"), Empty: true,
		// A recovery syncs every file there is, which takes half a minute through FUSE; one call for all is as good
		// where it is not the power that goes.
		Settings: []string{"recovery_init_sync_method=syncfs"},
	})
	if err != nil {
		return err
	}
	if err := sameOwner(pg.Dir(), f.Path()); err != nil {
		return err
	}
	if err := pg.CopyFrom(ctx, r.Env.Template); err != nil {
		return err
	}
	if err := r.open(ctx, pg); err != nil {
		return err
	}
	if _, err := r.Brokers(ctx, 1, BrokerOptions{}); err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	if err := r.slowSyncs(ctx, f); err != nil {
		return err
	}
	for i := range 2 {
		part, provoke := "/pg_wal/", func() {}
		if i%2 == 1 {
			// It ends with an error, as the server panics in the middle of it.
			part, provoke = "/base/", func() { _ = pg.Exec(ctx, Database, "CHECKPOINT") }
		}
		if _, err := r.failSync(ctx, f, func(path string) bool { return strings.Contains(path, part) }, provoke); err != nil {
			return err
		}
		if err := r.panicked(ctx, pg, i+1); err != nil {
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

// panicked waits until a server has noticed so many times that a sync failed.
func (r *Round) panicked(ctx context.Context, pg *server.Postgres, times int) error {
	ok, err := until(ctx, syncLimit, func() bool {
		log, err := os.ReadFile(pg.Log())
		return err == nil && strings.Count(string(log), "PANIC:") >= times
	})
	if !ok {
		r.Invalid("the server did not panic within %s of a failed sync", syncLimit)
	}
	return err
}
