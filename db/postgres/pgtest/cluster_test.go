package pgtest

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestServerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	url := Start(t).URL()
	for setting, want := range map[string]string{
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
		"listen_addresses":   "",
		"server_encoding":    "UTF8",
	} {
		if got := query(t, url, "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
}

func TestSettingsOverrideOurs(t *testing.T) {
	t.Parallel()
	if got := query(t, Start(t, "max_connections=17").URL(), "SHOW max_connections"); got != "17" {
		t.Errorf("max_connections = %s, want 17", got)
	}
}

func TestKilledServerKeepsWhatItConfirmed(t *testing.T) {
	t.Parallel()
	cluster := Start(t)
	exec1(t, cluster.URL(), "CREATE TABLE t AS SELECT 42 AS n")
	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(t.Context(), cluster.URL()); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, cluster.URL(), "SELECT n::text FROM t"); got != "42" {
		t.Errorf("read %s after the restart, want 42", got)
	}
	if err := cluster.Restart(); err != nil {
		t.Fatalf("restart of a running server: %v", err)
	}
	if got := query(t, cluster.URL(), "SELECT n::text FROM t"); got != "42" {
		t.Errorf("read %s after the second restart, want 42", got)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*Cluster) error{
		"of a running server": func(*Cluster) error { return nil },
		"of a killed server":  (*Cluster).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := Start(t)
			dir, segment := cluster.dir.path, sharedMemory(cluster.dir.data())
			if segment == "" {
				t.Fatal("cannot tell the server's shared memory segment")
			}
			if err := errors.Join(before(cluster), cluster.Stop()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("directory %s is still there: %v", dir, err)
			}
			if err := exec.CommandContext(t.Context(), "ipcrm", "-m", segment).Run(); err == nil {
				t.Errorf("shared memory segment %s was still there", segment)
			}
			if err := cluster.Restart(); err == nil {
				t.Error("a stopped cluster can be restarted")
			}
		})
	}
}

// TestServerEndsWithKilledBinary runs this test binary again, as a process
// that starts a server and is then killed.
func TestServerEndsWithKilledBinary(t *testing.T) {
	t.Parallel()
	const role = "TOPIQ_PGTEST_START_AND_WAIT"
	if os.Getenv(role) != "" {
		cluster := Start(t)
		_, _ = os.Stdout.WriteString("started " + cluster.URL() + " " + cluster.dir.path + "\n")
		select {}
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerEndsWithKilledBinary$")
	cmd.Env = append(os.Environ(), role+"=1")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for lines := bufio.NewScanner(output); len(fields) != 3 && lines.Scan(); {
		fields = strings.Fields(lines.Text())
	}
	if len(fields) != 3 || fields[0] != "started" {
		t.Fatalf("the other process said %q", fields)
	}
	conn := connect(t, fields[1])
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	// The server drops our connection when it ends, and the directory goes
	// after the server.
	if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)"); err == nil {
		t.Fatal("the server outlived the process that started it by a minute")
	}
	waitUntilGone(t, fields[2])
}

func TestStaleDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	mkdir := func(name string, lock bool) string {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if lock {
			if err := os.WriteFile(lockFile(dir), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	stale := mkdir(runDirPrefix+"stale", true)
	starting := mkdir(runDirPrefix+"starting", false)
	foreign := mkdir("foreign", true)
	inUse := &runDir{path: mkdir(runDirPrefix+"used", false)}
	if err := inUse.acquire(); err != nil {
		t.Fatal(err)
	}

	removeStale(base)
	for dir, want := range map[string]bool{stale: false, starting: true, foreign: true, inUse.path: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s exists: %v, want %v", dir, err == nil, want)
		}
	}
	if err := inUse.remove(); err != nil {
		t.Error(err)
	}
}

func waitUntilGone(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	deadline := time.After(orphanTimeout)
	for {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is still there", path)
		}
	}
}
