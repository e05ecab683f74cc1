package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds initdb and, separately, each start of a server. A start
// takes a quarter of a second on an idle machine; the bound is for a machine
// that runs ten test binaries at once, or a recovery after a kill.
const startTimeout = time.Minute

// Cluster is a PostgreSQL server with its data directory. Its methods may be
// called from any goroutine.
type Cluster struct {
	programs programs
	settings []string
	url      string

	mu     sync.Mutex
	dir    *runDir // Nil once the cluster is stopped.
	server *server // Nil while the server is down.
}

// Start starts a server which belongs to this test alone and ends with it.
// Each setting has the form name=value and overrides those of the package.
func Start(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	c, err := New(settings...)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	stopWith(tb, c)
	return c
}

func stopWith(tb testing.TB, c *Cluster) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := c.Stop(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
}

// URL returns the address of the server's own database. It stays the same
// over Kill and Restart.
func (c *Cluster) URL() string { return c.url }

// Kill ends the server with SIGKILL, without a checkpoint or a goodbye to its
// clients, and returns when every process of it has gone. The processes that
// serve connections end by themselves once their parent is dead.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end("KILL")
}

// Restart starts a killed server again, on the same data directory and
// address, and returns when it has recovered. A running server is shut down
// in order first.
func (c *Cluster) Restart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == nil {
		return errors.New("restart: the cluster was stopped and its data removed")
	}
	if err := c.end("INT"); err != nil {
		return err
	}
	return c.launch()
}

// Stop ends the server at once and removes everything it has left. It may be
// called more than once.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == nil {
		return nil
	}
	if err := c.end("QUIT"); err != nil {
		return err
	}
	releaseSharedMemory(c.dir.data())
	dir := c.dir
	c.dir = nil
	return dir.remove()
}

// New is Start for programs that are no tests: the caller ends the server with
// Stop. If the caller is killed, the server ends all the same.
func New(settings ...string) (*Cluster, error) {
	return start(settings, (*Cluster).create)
}

// start has a new directory filled with data and starts a server on it.
func start(settings []string, fill func(*Cluster) error) (*Cluster, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := newRunDir(account)
	if err != nil {
		return nil, err
	}
	query := url.Values{"host": {dir.path}, "user": {"postgres"}}
	c := &Cluster{
		programs: programs,
		settings: settings,
		url:      "postgres:///postgres?" + query.Encode(),
		dir:      dir,
	}
	if err := fill(c); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.launch(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// create runs initdb. It need not sync: a machine that crashes now has no
// test left to disappoint. The server itself syncs everything.
func (c *Cluster) create() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(
		ctx, c.programs.initdb, "-D", c.dir.data(),
		"-N", "--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres",
	)
	return c.run("initdb", cmd)
}

// run runs a program that ends by itself, as the owner of the data.
func (c *Cluster) run(name string, cmd *exec.Cmd) error {
	c.dir.confine(cmd)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, output)
	}
	return nil
}

// launch starts the server and returns when it answers.
func (c *Cluster) launch() error {
	s, err := startServer(c.dir, c.programs.postgres, c.arguments())
	if err != nil {
		return err
	}
	c.server = s

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.url)
		if err == nil {
			return conn.Close(ctx)
		}
		if s.gone(pollInterval) || ctx.Err() != nil {
			return fmt.Errorf("the server did not start: %w; its log ends: %s", err, c.dir.logTail())
		}
	}
}

// arguments of the server. What makes it durable is its default, and not
// among them: a test could not change that with a reload. Dynamic shared memory goes into the data directory
// so that a killed server leaves no segment behind and a container with a
// small /dev/shm is enough.
func (c *Cluster) arguments() []string {
	args := []string{"-D", c.dir.data()}
	settings := []string{
		"listen_addresses=",
		"unix_socket_directories=" + c.dir.path,
		"unix_socket_permissions=0700",
		"dynamic_shared_memory_type=mmap",
		"max_connections=200",
	}
	for _, setting := range append(settings, c.settings...) {
		args = append(args, "-c", setting)
	}
	return args
}

// end sends the running server a signal and waits until it has gone.
func (c *Cluster) end(signal string) error {
	if c.server == nil {
		return nil
	}
	s := c.server
	c.server = nil
	if err := s.end(signal); err != nil {
		return fmt.Errorf("end the server: %w; its log ends: %s", err, c.dir.logTail())
	}
	return nil
}

// releaseSharedMemory removes the System V segment by which servers detect
// each other. It outlives a server that was killed and never restarted, and
// the kernel has room for a few thousand only.
func releaseSharedMemory(data string) {
	if id := sharedMemory(data); id != "" {
		_ = exec.CommandContext(context.Background(), "ipcrm", "-m", id).Run()
	}
}

// sharedMemory returns the id of the segment of a running or a killed server,
// or nothing. The seventh line of the server's lock file, which goes when the
// server ends in order, has the segment's key and its id.
func sharedMemory(data string) string {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 7 {
		return ""
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		return fields[1]
	}
	return ""
}
