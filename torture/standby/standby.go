// Package standby runs two PostgreSQL servers of which one follows the other, and changes their roles: failover to a
// synchronous standby, which must lose nothing, and to an asynchronous one that lags, which must be noticed.
package standby

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/torture/server"
)

// Config describes a pair.
type Config struct {
	// Dir is a new directory for both servers; it must be short, for the sockets.
	Dir string
	// Synchronous makes commits wait for the standby, whichever of the two is the primary.
	Synchronous bool
	Settings    []string // name=value, of both servers
}

// Pair is a primary and a standby. It is for one goroutine at a time.
type Pair struct {
	config  Config
	nodes   [2]*server.Postgres
	primary int
}

const (
	patience = 30 * time.Second
	glance   = 10 * time.Millisecond
)

// Start makes and starts both servers, and returns when the standby follows. The caller must Stop the pair.
func Start(ctx context.Context, config Config) (*Pair, error) {
	p := &Pair{config: config}
	for i := range p.nodes {
		port, err := server.FreePort()
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(config.Dir, name(i))
		node, err := server.NewPostgres(server.PostgresConfig{
			Data: filepath.Join(dir, "data"), Dir: dir, Name: "postgres", Port: port, Settings: p.settings(i),
		})
		if err != nil {
			return nil, err
		}
		p.nodes[i] = node
	}
	if err := p.Primary().Create(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(p.Primary().Start(ctx), p.Rebuild(ctx)); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// name is the directory of a server and its name as a standby.
func name(i int) string { return string(rune('a' + i)) }

// settings of a server: each is ready for either role. Enough of the log is kept for a standby that was away to catch up.
func (p *Pair) settings(i int) []string {
	settings := []string{"wal_keep_size=512MB", "wal_receiver_timeout=5s", "wal_sender_timeout=5s", "wal_retrieve_retry_interval=100ms"}
	if p.config.Synchronous {
		settings = append(settings, "synchronous_standby_names="+name(1-i))
	}
	return append(settings, p.config.Settings...)
}

// Primary is the server that accepts writes.
func (p *Pair) Primary() *server.Postgres { return p.nodes[p.primary] }

// Standby is the other one.
func (p *Pair) Standby() *server.Postgres { return p.nodes[1-p.primary] }

// URL names both servers, so that who follows it finds the primary, whichever it is.
func (p *Pair) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=read-write",
		p.nodes[0].Port(), p.nodes[1].Port(), database)
}

// Rebuild throws away what the other server has and makes it a standby of the primary, by a new base backup: after a
// failover the old primary may have written what the new one does not know. It returns when the standby follows.
func (p *Pair) Rebuild(ctx context.Context) error {
	s := p.Standby()
	s.Kill()
	if err := os.RemoveAll(s.Data()); err != nil {
		return err
	}
	// It need not be synced: these rounds take processes away, not power.
	err := s.Command(ctx, "pg_basebackup", "-D", s.Data(), "-d", p.conninfo(), "--checkpoint=fast", "--no-sync", "--wal-method=stream")
	if err != nil {
		return err
	}
	if err := p.follow(); err != nil {
		return err
	}
	return p.StartStandby(ctx)
}

// conninfo is how the standby reaches the primary.
func (p *Pair) conninfo() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", p.Primary().Port(), name(1-p.primary))
}

// follow writes into the standby's data directory that it is one, and of whom. It is no setting of the command line, so that
// Disconnect can change it while the server runs.
func (p *Pair) follow() error {
	data := p.Standby().Data()
	settings := fmt.Sprintf("primary_conninfo = '%s'\n", p.conninfo())
	err := os.WriteFile(filepath.Join(data, "postgresql.auto.conf"), []byte(settings), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o600)
	}
	if err == nil {
		err = p.own(filepath.Join(data, "standby.signal"), filepath.Join(data, "postgresql.auto.conf"))
	}
	return err
}

// own gives files of ours to the account that owns the data directory.
func (p *Pair) own(paths ...string) error {
	owner, err := ownerOf(p.Standby().Data())
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, owner.uid, owner.gid); err != nil {
			return err
		}
	}
	return nil
}

// StartStandby starts the standby, and returns when it has caught up and, if it is to be synchronous, is.
func (p *Pair) StartStandby(ctx context.Context) error {
	if err := p.Standby().Start(ctx); err != nil {
		return err
	}
	return p.CatchUp(ctx)
}

// CatchUp waits until the standby streams, and has all that the primary has written before the call.
func (p *Pair) CatchUp(ctx context.Context) error {
	state := "state = 'streaming'"
	if p.config.Synchronous {
		state += " AND sync_state IN ('sync', 'quorum')"
	}
	query := "SELECT count(*) > 0 FROM pg_stat_replication WHERE flush_lsn >= $1::pg_lsn AND " + state
	return p.onPrimary(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var end string
		if err := conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&end); err != nil {
			return err
		}
		for {
			var there bool
			if err := conn.QueryRow(ctx, query, end).Scan(&there); err != nil {
				return err
			}
			if there {
				return nil
			}
			if err := server.Pause(ctx, glance); err != nil {
				return fmt.Errorf("the standby did not catch up within %s: %w: %s", patience, err, p.Standby().LogTail())
			}
		}
	})
}

// Disconnect makes the standby stop following, and returns when it has: from then on it lags. Promote and Rebuild end
// that.
func (p *Pair) Disconnect(ctx context.Context) error {
	s := p.Standby()
	for _, statement := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if err := s.Exec(ctx, "postgres", statement); err != nil {
			return err
		}
	}
	return p.onPrimary(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for {
			var left int
			if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication").Scan(&left); err != nil || left == 0 {
				return err
			}
			if err := server.Pause(ctx, glance); err != nil {
				return err
			}
		}
	})
}

// Promote makes the standby, which must run, the primary. The old one must have been ended: nothing else keeps it from
// accepting writes. It returns when the new primary does.
func (p *Pair) Promote(ctx context.Context) error {
	if p.Primary().Running() {
		return errors.New("promote: the old primary still runs")
	}
	s := p.Standby()
	// The function waits, for 60 s at most.
	if err := s.Exec(ctx, "postgres", "SELECT pg_promote()"); err != nil {
		return fmt.Errorf("promote: %w: %s", err, s.LogTail())
	}
	p.primary = 1 - p.primary
	return nil
}

// CancelWaits does what an operator might do whose commits hang as the standby is dead: it cancels the sessions that wait
// for it. It says how many did.
func (p *Pair) CancelWaits(ctx context.Context) (cancelled int, err error) {
	err = p.onPrimary(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_cancel_backend(pid))
			FROM pg_stat_activity WHERE wait_event = 'SyncRep'`).Scan(&cancelled)
	})
	return cancelled, err
}

// Waiting is how many sessions wait for the standby.
func (p *Pair) Waiting(ctx context.Context) (waiting int, err error) {
	err = p.onPrimary(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waiting)
	})
	return waiting, err
}

func (p *Pair) onPrimary(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.Primary().URL("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, conn), conn.Close(context.WithoutCancel(ctx)))
}

// Stop ends both servers.
func (p *Pair) Stop() error {
	// The standby first: a synchronous primary would not end in order without it.
	return errors.Join(p.Standby().Stop("immediate"), p.Primary().Stop("immediate"))
}
