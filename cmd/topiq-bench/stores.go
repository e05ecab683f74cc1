package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// removeTimeout bounds the removal of a database.
const removeTimeout = time.Minute

// store is a new store of an engine, for one row: what a broker has still to sweep of the row before would
// disturb the next.
func (m *measurement) store(ctx context.Context, engine string) (string, error) {
	m.stores++
	switch engine {
	case "memory":
		return "memory:", nil
	case "sqlite":
		dir := filepath.Join(m.dir, strconv.Itoa(m.stores))
		m.used = append(m.used, func(context.Context) error { return os.RemoveAll(dir) })
		return "sqlite:" + filepath.Join(dir, "topiq.db"), os.Mkdir(dir, 0o700)
	}
	server, err := m.server() //nolint:contextcheck // a server outlives whoever asked for it first
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("topiq_bench_%d_%d", os.Getpid(), m.stores)
	u, err := url.Parse(server)
	if err != nil {
		return "", errors.New("--postgres is not a URL")
	}
	u.Path = "/" + name
	if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	m.used = append(m.used, func(ctx context.Context) error {
		return execute(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return u.String(), nil
}

// server is the address of the PostgreSQL server, which is started if there is none.
func (m *measurement) server() (string, error) {
	if m.options.Postgres != "" {
		return m.options.Postgres, nil
	}
	if m.cluster == nil {
		cluster, err := pgtest.New()
		if err != nil {
			return "", err
		}
		m.cluster = cluster
	}
	return m.cluster.URL(), nil
}

// postgresVersion is the version of the server, "" if there is none or it cannot be asked.
func (m *measurement) postgresVersion(ctx context.Context) (version string) {
	if m.cluster == nil && m.options.Postgres == "" {
		return ""
	}
	server, err := m.server() //nolint:contextcheck // a server outlives whoever asked for it first
	if err != nil {
		return ""
	}
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close(ctx) }() // what was asked is answered
	if err := c.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&version); err != nil {
		return ""
	}
	return version
}

func execute(ctx context.Context, server, sql string) error {
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql)
	return errors.Join(err, c.Close(ctx))
}

// removeStores removes those that were given out. ctx may have ended.
func (m *measurement) removeStores(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	var err error
	for _, remove := range m.used {
		err = errors.Join(err, remove(ctx))
	}
	m.used = nil
	return err
}
