package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// wrongOperator is N26.
func wrongOperator() Nemesis {
	return Nemesis{
		ID: "N26", Name: "an older state is put back under living clients", Engines: []string{SQLite, Postgres},
		Cut: true, Short: 1, Faults: "restores", Round: wrongOperatorRound,
	}
}

// restore is a way to keep a state and put it back.
type restore struct {
	keep, putBack func(ctx context.Context) error
}

// wrongOperatorRound keeps a copy of the store, lets the clients go on, and puts the copy back. What
// came after the copy is lost, and every client that sends the incarnation it knows must be told.
func wrongOperatorRound(ctx context.Context, r *Round) error {
	var ways []restore
	if r.Engine == SQLite {
		brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
		if err != nil {
			return err
		}
		ways = []restore{r.copiedFile(brokers[0]), r.copiedFile(brokers[0])}
	} else {
		pg, err := r.Postgres(ctx, PostgresOptions{TCP: true})
		if err != nil {
			return err
		}
		if _, err := r.Brokers(ctx, 2, BrokerOptions{}); err != nil {
			return err
		}
		ways = []restore{r.dump(pg), r.baseBackup(pg)}
	}
	w, err := r.Workload(ctx, workload.Options{})
	if err != nil {
		return err
	}
	for _, i := range r.Rand.Perm(len(ways)) {
		if err := r.restored(ctx, w, ways[i]); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{Rules: check.Rules{MayLose: true}})
}

func (r *Round) restored(ctx context.Context, w *workload.Workload, way restore) error {
	if err := way.keep(ctx); err != nil {
		return err
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	target := w.Acked() + lag
	ok, err := until(ctx, recoveryLimit, func() bool { return w.Acked() >= target })
	if !ok {
		r.Invalid("fewer than %d requests came after the copy", lag)
	}
	if err != nil {
		return err
	}
	before, err := r.incarnations(ctx)
	if err != nil {
		return err
	}
	r.FaultSoon()
	if err := way.putBack(ctx); err != nil {
		return err
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	return r.detected(ctx, before)
}

// copiedFile copies the SQLite file while the broker does not run, and puts it back after a later start
// of the broker. (A copy made since the last start cannot be told from the file itself.)
func (r *Round) copiedFile(b *server.Broker) restore {
	file, kept := strings.TrimPrefix(r.store, "sqlite:"), r.Path("kept.db")
	return restore{
		keep: func(ctx context.Context) error {
			if err := b.Stop(); err != nil {
				return err
			}
			if err := copyStore(file, kept); err != nil {
				return err
			}
			return b.Start(ctx)
		},
		putBack: func(ctx context.Context) error {
			b.Kill()
			if err := errors.Join(removeFile(file+"-shm"), copyStore(kept, file)); err != nil {
				return err
			}
			return b.Start(ctx)
		},
	}
}

// dump dumps the database and restores the dump into the same server, under living brokers.
func (r *Round) dump(pg *server.Postgres) restore {
	file := filepath.Join(pg.Dir(), "dump.sql")
	return restore{
		keep: func(ctx context.Context) error {
			return pg.Command(ctx, "pg_dump", "-d", pg.URL(Database), "-f", file)
		},
		putBack: func(ctx context.Context) error {
			for _, statement := range []string{
				fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", Database), "CREATE DATABASE restoring",
			} {
				if err := pg.Exec(ctx, "postgres", statement); err != nil {
					return err
				}
			}
			if err := pg.Command(ctx, "psql", "-q", "-d", pg.URL("restoring"), "-v", "ON_ERROR_STOP=1", "-f", file); err != nil {
				return err
			}
			return pg.Exec(ctx, "postgres", "ALTER DATABASE restoring RENAME TO "+Database)
		},
	}
}

// baseBackup makes a base backup and recovers the server from it, as after the loss of its disk: that
// ends in another timeline.
func (r *Round) baseBackup(pg *server.Postgres) restore {
	kept := filepath.Join(pg.Dir(), "base")
	return restore{
		keep: func(ctx context.Context) error {
			return pg.Command(ctx, "pg_basebackup", "-D", kept, "-d", pg.URL("postgres"), "--checkpoint=fast", "--no-sync")
		},
		putBack: func(ctx context.Context) error {
			pg.Kill()
			pg.Release()
			if err := os.RemoveAll(pg.Data()); err != nil {
				return err
			}
			signal := filepath.Join(kept, "recovery.signal")
			err := errors.Join(os.WriteFile(signal, nil, 0o600), sameOwner(kept, signal), os.Rename(kept, pg.Data()))
			if err != nil {
				return err
			}
			// There is no archive: recovery ends where the backup ends.
			pg.Configure(func(c *server.PostgresConfig) { c.Settings = append(c.Settings, "restore_command=/bin/false") })
			defer pg.Configure(func(c *server.PostgresConfig) { c.Settings = c.Settings[:len(c.Settings)-1] })
			return pg.Start(ctx)
		},
	}
}
