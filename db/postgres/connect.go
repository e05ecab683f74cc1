package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/topiq/topiq/gen/pgsql"
)

const (
	connectTimeout      = 5 * time.Second // per host; an address may name several
	healthCheckInterval = time.Second
	maxConnLifetime     = 30 * time.Minute
	// A peer that answers nothing at all for keepAliveIdle + keepAliveProbes × keepAliveInterval
	// is gone. Both sides watch: a dead broker must not keep its locks, nor a dead server its broker.
	keepAliveIdle     = 3 * time.Second
	keepAliveInterval = time.Second
	keepAliveProbes   = 3
	// While something sent is unanswered, no keep-alive is sent: that wait has a limit of its own.
	unansweredLimit = keepAliveIdle + keepAliveProbes*keepAliveInterval
	// lockTimeout bounds the wait for a row that another transaction holds, idleInTransaction how
	// long a broker that stopped in the middle of one may hold its own. A broker that stopped in the
	// middle of a statement is not idle for the server: there statement_timeout ends it, which is over
	// before a COMMIT waits for a standby. Between two statements of a round trip neither applies:
	// terminate is for that.
	lockTimeout       = 2 * time.Second
	idleInTransaction = 5 * time.Second
	// connectionCheck is how often the server looks whether its client is still there while it works
	// for it. A working client is asked nothing; a lost one costs its locks at most this much longer.
	connectionCheck = 2 * time.Second
	// prepareLimit bounds what is done on a new connection. A pool would wait for ever.
	prepareLimit = 10 * time.Second
)

// parse reads the address of a database. The pools and the migration copy what it returns.
func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // it has the address without the password
	}
	conn := config.ConnConfig
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "topiq"
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.ValidateConnect == nil {
		// With several hosts in the address this finds the one that is primary now.
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	conn.DialFunc = (&net.Dialer{Control: limitUnanswered, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveProbes,
	}}).DialContext
	conn.OnNotice = keepWarning
	config.PrepareConn = useBuffers
	opened := make(dials, maxDials) // by all pools
	config.BeforeConnect = func(_ context.Context, conn *pgx.ConnConfig) error {
		refuseCancels(conn)
		opened.limit(conn)
		return nil
	}
	return config, nil
}

func newPool(
	ctx context.Context, base *pgxpool.Config, size int, prepare func(context.Context, *pgx.Conn) error,
) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns = int32(size) //nolint:gosec // bounded by Config
	config.MinConns = 0
	config.MinIdleConns = 0
	config.MaxConnLifetime = maxConnLifetime
	config.MaxConnLifetimeJitter = maxConnLifetime / 10
	config.HealthCheckPeriod = healthCheckInterval
	config.PingTimeout = connectTimeout
	config.AfterConnect = prepare
	return pgxpool.NewWithConfig(ctx, config)
}

// session prepares each new connection.
type session struct {
	unsafe bool
	// replicated leaves the timeline out of what tells databases apart (P13).
	replicated bool
	// statementLimit bounds each statement, 0 for no limit.
	statementLimit time.Duration
}

// prepare sets what the store relies on, checks what it cannot set, and commits one write.
//
// That write is the barrier of P9. A server that crashed and came back shows what its disk had,
// including commits that were still waiting for the standby, which nobody was told of and which the
// next failover would take away again. The barrier is behind them in the log, so once it is
// committed, by the rules of any other commit, they are on the standby too. No connection outlives a
// restart, so a barrier at the start of each is enough, and nothing has to notice the restart.
func (s session) prepare(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	if err := s.configure(ctx, conn); err != nil {
		return err
	}
	if err := keepBackend(ctx, conn); err != nil {
		return err
	}
	if _, err := inspect(ctx, conn, s.unsafe); err != nil { // after a failover it may be another server
		return err
	}
	if err := s.recognize(ctx, conn); err != nil {
		return err
	}
	barrier := func(ctx context.Context, q *pgsql.Queries) error {
		_, err := q.TakeIDs(ctx, pgsql.TakeIDsParams{Bucket: 0, Count: 0})
		return err
	}
	err := send(ctx, conn, true, barrier)
	if err == nil {
		err = commit(ctx, conn)
	}
	if err != nil {
		// Without the chain: whether this commit succeeded is not what the caller asked about.
		return fmt.Errorf("%w: %s", errBarrier, err.Error())
	}
	return nil
}

// applySettings is not a query of sqlc, which does not know pg_settings. It leaves out what this server
// does not have. Settings are made here and not in the start-up packet, which poolers refuse.
const applySettings = `
SELECT set_config(s.name, k.setting, false)
FROM unnest($1::text[], $2::text[]) AS k (name, setting) JOIN pg_settings AS s USING (name)`

func (s session) configure(ctx context.Context, conn *pgx.Conn) error {
	names := []string{
		"lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout",
		"tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout",
		"client_min_messages", // P8 rests on warnings
		// Every query but one has an index that begins with its keys. A plan that was made, and kept,
		// while a table was nearly empty must use it too.
		"enable_seqscan",
		// Likewise, for all who look up one row at a time for each of a group: a scan of a bitmap asks the
		// file system for the length of the table each time.
		"enable_bitmapscan",
		// There is one good plan for each query, whatever its arguments are: it is not made anew for each group.
		"plan_cache_mode",
		"jit", // pays for no query that uses an index, and costs the one that is thought to be long
	}
	settings := []string{
		millis(lockTimeout), millis(idleInTransaction), millis(s.statementLimit),
		seconds(keepAliveIdle), seconds(keepAliveInterval), strconv.Itoa(keepAliveProbes),
		millis(unansweredLimit),
		"warning",
		"off",
		"off",
		"force_generic_plan",
		"off",
	}
	if _, err := conn.Exec(ctx, applySettings, names, settings); err != nil {
		return fmt.Errorf("session settings: %w", err)
	}
	// What is inspected next stays as it is for as long as the session lasts: a reload would change it.
	if _, err := conn.Exec(ctx,
		"SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)"); err != nil {
		return fmt.Errorf("session settings: %w", err)
	}
	// Not every platform can watch a connection while a statement runs. Those that cannot refuse the
	// value, and find a lost client when they next write to it.
	_, err := conn.Exec(ctx, applySettings,
		[]string{"client_connection_check_interval"}, []string{millis(connectionCheck)})
	if refused := (*pgconn.PgError)(nil); err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("session settings: %w", err)
	}
	return nil
}

func millis(d time.Duration) string  { return strconv.FormatInt(d.Milliseconds(), 10) }
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d.Seconds()), 10) }
