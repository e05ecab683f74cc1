package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// recoverySettings have a server that starts on a backup recover to the end of the backup and then go
// on as a primary, on a timeline of its own.
const recoverySettings = `
restore_command = 'false'
recovery_target = 'immediate'
recovery_target_action = 'promote'
`

// awaitPrimary waits for the end of a recovery.
const awaitPrimary = "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.02); END LOOP; END $$"

// Dump returns the SQL that makes a copy of a database of this server, as pg_dump writes it.
func (c *Cluster) Dump(tb testing.TB, url string) []byte {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program("pg_dump"), "--dbname="+url)
	c.dir.confine(cmd)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	dump, err := cmd.Output()
	if err != nil {
		tb.Fatalf("pgtest: pg_dump: %v: %s", err, failure.Bytes())
	}
	return dump
}

// Load runs a dump on a database of this server.
func (c *Cluster) Load(tb testing.TB, url string, dump []byte) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program("psql"),
		"--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname="+url)
	c.dir.confine(cmd)
	cmd.Stdin = bytes.NewReader(dump)
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("pgtest: psql: %v: %s", err, output)
	}
}

// Database makes an empty database on this server, which lasts as long as the server.
func (c *Cluster) Database(tb testing.TB) (url string) {
	tb.Helper()
	url, _, err := createDatabase(c.URL())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return url
}

// Backup takes a base backup of the running server and returns what starts a server on it, which
// recovers, is a primary when it is returned, and ends with the test.
func (c *Cluster) Backup(tb testing.TB) (restore func(settings ...string) *Cluster) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	backup := filepath.Join(c.dir.path, "backup")
	err := c.run("pg_basebackup", exec.CommandContext(ctx, c.program("pg_basebackup"),
		"-D", backup, "-d", c.URL(), "--wal-method=stream", "--checkpoint=fast", "--no-sync"))
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return func(settings ...string) *Cluster {
		tb.Helper()
		restored, err := start(settings, func(to *Cluster) error { return to.putBack(backup) })
		if err != nil {
			tb.Fatalf("pgtest: %v", err)
		}
		stopWith(tb, restored)
		if err := execute(restored.URL(), awaitPrimary); err != nil {
			tb.Fatalf("pgtest: %v", err)
		}
		return restored
	}
}

// putBack fills the data directory from a backup, prepared for recovery.
func (c *Cluster) putBack(backup string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.run("cp", exec.CommandContext(ctx, "cp", "-a", backup, c.dir.data())); err != nil {
		return err
	}
	settings, err := os.OpenFile(filepath.Join(c.dir.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = settings.WriteString(recoverySettings)
	if err := errors.Join(err, settings.Close()); err != nil {
		return err
	}
	if err := c.run("touch", exec.CommandContext(ctx, "touch", filepath.Join(c.dir.data(), "recovery.signal"))); err != nil {
		return fmt.Errorf("prepare for recovery: %w", err)
	}
	return nil
}

// program is one that lies beside the server.
func (c *Cluster) program(name string) string {
	return filepath.Join(filepath.Dir(c.programs.postgres), name)
}
