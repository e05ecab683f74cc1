package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// databaseTimeout bounds creating or dropping one database. Both sync whole
// files, which takes seconds where many tests share a slow disk.
const databaseTimeout = time.Minute

// createDatabase makes an empty database on the server and returns its
// address and its name. The template is template0 because nobody can be
// connected to it: template1 cannot be copied while somebody is.
func createDatabase(serverURL string) (address, name string, err error) {
	u, err := url.Parse(serverURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", "", fmt.Errorf("%s must have the form postgres://user@host:port/database", EnvURL)
	}
	name = "topiq_test_" + strings.ToLower(rand.Text())
	if err := execute(serverURL, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", "", fmt.Errorf("create a database for the test: %w", err)
	}
	u.Path = "/" + name
	return u.String(), name, nil
}

// dropDatabase removes a database together with the connections to it: a test
// that fails half-way leaves some open, and the next one must not pay for it.
func dropDatabase(serverURL, name string) error {
	if err := execute(serverURL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the database of the test: %w", err)
	}
	return nil
}

// execute runs one statement on a connection of its own. It does not take the
// context of a test, which has ended by the time its databases are dropped.
func execute(serverURL, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
