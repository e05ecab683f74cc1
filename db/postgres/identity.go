package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/service"
)

// readDatabase is what tells this database from others, but for the table of the heads: the system
// identifier, which initdb draws; the timeline, which each promotion and each recovery from a backup
// begins anew; and the oid of the database. The timeline is that of the current position in the WAL:
// the control file goes on showing the old one until the first checkpoint after a promotion. It is not
// a query of sqlc, which does not know these functions.
const readDatabase = `
SELECT (SELECT system_identifier FROM pg_control_system())::text,
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database())::text`

const keepDatabase = `SELECT set_config('topiq.database', $1, false), set_config('topiq.known', $2, false)`

// anyTimeline stands where the timeline is not compared.
const anyTimeline = "*"

// recognize notes in a session which database it is connected to, for the queries of heads to store
// and to compare (P13). Once for each connection is enough. A server gets another timeline in two
// ways: it is started on files that were put back, and no connection outlives its start; or it is a
// standby that is promoted, and that does let connections live, but they were read-only before, and
// ValidateConnect lets only those be that can write. Behind a pooler a session ends with the server
// as well.
//
// With replicated, the operator's word is that a promotion loses nothing, and so the timeline is not
// compared. It is stored all the same: brokers that are started without the word find it.
func (s session) recognize(ctx context.Context, conn *pgx.Conn) error {
	var system, timeline, database string
	if err := conn.QueryRow(ctx, readDatabase).Scan(&system, &timeline, &database); err != nil {
		return fmt.Errorf("which database this is: %w", err)
	}
	known := timeline
	if s.replicated {
		known = anyTimeline
	}
	_, err := conn.Exec(ctx, keepDatabase,
		strings.Join([]string{system, timeline, database}, "."), strings.Join([]string{system, known, database}, "."))
	if err != nil {
		return fmt.Errorf("which database this is: %w", err)
	}
	return nil
}

// foreign compares the identity of a head with what is known of this database, which may have a star
// for the timeline.
func foreign(identity, known string) bool {
	stored := strings.Split(identity, ".")
	if parts := strings.Split(known, "."); len(stored) > 1 && len(parts) > 1 && parts[1] == anyTimeline {
		stored[1] = anyTimeline
	}
	return service.Foreign(strings.Join(stored, "."), known)
}
