package pgtest

import (
	"context"
	"net/url"
	"os/exec"
	"strings"
	"testing"
)

// StandbyName is what a standby calls itself, and so what
// synchronous_standby_names of its primary must contain for commits to wait
// for it.
const StandbyName = "standby"

// Standby starts a standby of this server, which ends with the test. It
// follows the server by itself; whether commits wait for it is up to the
// settings of the server. Each setting has the form name=value.
func (c *Cluster) Standby(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	standby, err := c.NewStandby(settings...)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	stopWith(tb, standby)
	return standby
}

// NewStandby is Standby for programs that are no tests: the caller ends the
// standby with Stop.
func (c *Cluster) NewStandby(settings ...string) (*Cluster, error) {
	return start(settings, func(standby *Cluster) error { return standby.copyFrom(c) })
}

// copyFrom takes a base backup of a running server, prepared for following it.
func (c *Cluster) copyFrom(primary *Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	u, err := url.Parse(primary.URL())
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("application_name", StandbyName)
	u.RawQuery = query.Encode()
	return c.run("pg_basebackup", exec.CommandContext(
		ctx, c.programs.backup, "-D", c.dir.data(), "-d", u.String(),
		"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
	))
}

// Promote makes a standby a primary, and returns when it takes writes. It does
// nothing to its old primary: kill that first.
func (c *Cluster) Promote() error {
	return execute(c.URL(), "DO $$ BEGIN IF NOT pg_promote() THEN RAISE 'not promoted in time'; END IF; END $$")
}

// Address returns one address for several servers, of which a client takes the
// one that takes writes.
func Address(clusters ...*Cluster) string {
	var hosts []string
	for _, c := range clusters {
		if u, err := url.Parse(c.URL()); err == nil {
			hosts = append(hosts, u.Query().Get("host"))
		}
	}
	query := url.Values{"host": {strings.Join(hosts, ",")}, "user": {"postgres"}}
	return "postgres:///postgres?" + query.Encode()
}
