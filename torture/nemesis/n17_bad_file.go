package nemesis

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// badFile is N17.
func badFile() Nemesis {
	return Nemesis{
		ID: "N17", Name: "SQLite file locked, read-only, in use, truncated, with a flipped bit", Needs: []Need{Root()},
		Engines: []string{SQLite}, Short: 1, Faults: "bad files", Round: badFileRound,
	}
}

// badFileRound puts everything in a broker's way that can happen to its file. It must refuse to start,
// or fail loudly; never show an empty topic, or another message than was stored.
func badFileRound(ctx context.Context, r *Round) error {
	dir := r.Path("store")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "topiq.db")
	r.UseStore("sqlite:" + file)
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	for _, fault := range []func(context.Context, *server.Broker, string) error{r.secondBroker, r.lockedFile, r.readOnlyFile} {
		if err := fault(ctx, b, file); err != nil {
			return err
		}
	}
	// What is damaged is what a kill leaves, a WAL included.
	r.FaultSoon()
	b.Kill()
	kept := r.Path("kept.db")
	if err := copyStore(file, kept); err != nil {
		return err
	}
	ended := time.Now()
	if err := b.Start(ctx); err != nil {
		return err
	}
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	if err := r.Check(ctx, CheckOptions{}); err != nil {
		return err
	}
	return r.damageAll(ctx, kept)
}

// mustRefuse starts a broker, which must refuse and say why.
func (r *Round) mustRefuse(ctx context.Context, b *server.Broker, what string, words ...string) {
	err := b.Start(ctx)
	if err == nil {
		r.Violation("I21: a broker started on a file that %s", what)
		b.Kill()
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			r.Violation("a broker on a file that %s does not say %q: %v", what, word, err)
		}
	}
}

// secondBroker starts another broker on the file, by its name and by a link to it.
func (r *Round) secondBroker(ctx context.Context, _ *server.Broker, file string) error {
	link := r.Path("link.db")
	if err := os.Symlink(file, link); err != nil {
		return err
	}
	for _, path := range []string{file, link} {
		other, err := server.NewBroker(server.BrokerConfig{
			Program: r.Env.Topiq, Store: "sqlite:" + path, Dir: r.Dir, Name: "second",
		})
		if err != nil {
			return err
		}
		r.FaultSoon()
		r.mustRefuse(ctx, other, "another broker has", "in use")
	}
	return r.Recovered(ctx, time.Now())
}

// lockedFile holds SQLite's own lock for longer than the broker waits for it: a stranger's program. The
// broker refuses meanwhile, and goes on afterwards.
func (r *Round) lockedFile(ctx context.Context, _ *server.Broker, file string) (err error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	r.FaultSoon()
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	if err := server.Pause(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	// From here on nobody can have written; what is answered well must have been written before.
	locked := r.workloads[0].Recorder().Now()
	if err := server.Pause(ctx, 6*time.Second+time.Duration(r.Rand.Int64N(int64(2*time.Second)))); err != nil {
		return err
	}
	n := r.since(locked, acked)
	if _, err := db.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err
	}
	if n > 0 {
		r.Violation("I21: %d requests were acknowledged while another program had the file locked", n)
	}
	return r.Recovered(ctx, time.Now())
}

// readOnlyFile starts the broker on a file system that cannot be written to: also root meets that.
func (r *Round) readOnlyFile(ctx context.Context, b *server.Broker, file string) error {
	dir := filepath.Dir(file)
	r.FaultSoon()
	b.Kill()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	mounted := true
	unmount := func() {
		if mounted {
			mounted = false
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
	r.Cleanup(unmount)
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	r.mustRefuse(ctx, b, "is read-only", "readonly")
	unmount()
	ended := time.Now()
	if err := b.Start(ctx); err != nil {
		return err
	}
	return r.Recovered(ctx, ended)
}
