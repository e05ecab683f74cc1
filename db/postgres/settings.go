package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// readSettings is not a query of sqlc, which does not know pg_settings. The setting of
// synchronous_commit is that of this session: a role or a database may have its own.
const readSettings = `
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name`

// inspectServer inspects the server that an address leads to.
func inspectServer(ctx context.Context, config *pgx.ConnConfig, accept bool) ([]string, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	return inspect(ctx, conn, accept)
}

// inspect looks for settings under which the server loses what it acknowledged. They are an error,
// or, where the operator accepts them, the answer.
func inspect(ctx context.Context, conn *pgx.Conn, accept bool) ([]string, error) {
	rows, err := conn.Query(ctx, readSettings)
	if err != nil {
		return nil, err
	}
	var unsafe []string
	var problems []error
	var name, setting string
	_, err = pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
		if problem := weakness(name, setting); problem != "" {
			unsafe = append(unsafe, name+"="+setting)
			problems = append(problems, errors.New(problem))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 && !accept {
		return nil, fmt.Errorf("this server would lose acknowledged messages: %w", errors.Join(problems...))
	}
	return unsafe, nil
}

// weakness says what is wrong with a setting and how to mend it, "" if nothing is.
func weakness(name, setting string) string {
	switch name {
	case "fsync", "full_page_writes":
		if setting == "on" {
			return ""
		}
		return fmt.Sprintf("%s is %q: a crash of the machine damages the database; "+
			"set %s = on in postgresql.conf and reload, or start with unsafe durability accepted", name, setting, name)
	case "synchronous_commit":
		if setting == "on" || setting == "remote_apply" {
			return ""
		}
		return fmt.Sprintf("synchronous_commit is %q in the sessions of this user: a commit is acknowledged before "+
			"it is durable; set it to on (ALTER ROLE … or ALTER DATABASE … SET synchronous_commit = on, or in "+
			"postgresql.conf), or start with unsafe durability accepted", setting)
	}
	return ""
}
