package nemesis

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // checks the files

	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// powerCutSQLite is N4.
func powerCutSQLite() Nemesis {
	return Nemesis{
		ID: "N4", Name: "power cut of the broker's disk (ext4, XFS)", Needs: []Need{Root(), LoopDisk()},
		Engines: []string{SQLite}, Cut: true, Short: 1, Faults: "power cuts", Round: powerCutSQLiteRound,
	}
}

// powerCutSQLiteRound takes the power away under a broker, which dies with it. Before the broker sees
// the file again SQLite itself must find it sound.
func powerCutSQLiteRound(ctx context.Context, r *Round) error {
	d, err := r.disk(ctx, sqliteDisk)
	if err != nil {
		return err
	}
	file := filepath.Join(d.Path(), "topiq.db")
	r.UseStore("sqlite:" + file)
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	if _, err := r.Workload(ctx, workload.Options{}); err != nil {
		return err
	}
	for range sqliteCuts {
		if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(400*time.Millisecond)))); err != nil {
			return err
		}
		b.Expect()
		if err := r.cutPower(ctx, d, pidsOf(b)); err != nil {
			return err
		}
		b.Kill()
		if err := d.PowerBack(ctx); err != nil {
			return err
		}
		if err := r.sound(ctx, file); err != nil {
			return err
		}
		ended := time.Now()
		if err := b.Start(ctx); err != nil {
			r.Violation("I1: the broker does not start after a power cut: %v", err)
			return nil
		}
		if err := r.Recovered(ctx, ended); err != nil {
			return err
		}
	}
	return r.Check(ctx, CheckOptions{})
}

// sound has SQLite check a copy of a file and its WAL: to open the original would recover it, which is
// the broker's part.
func (r *Round) sound(ctx context.Context, file string) (err error) {
	dir := r.Path("sound")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "copy.db")
	if err := copyStore(file, path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	verdict := ""
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil {
		verdict = err.Error()
	}
	if verdict != "ok" {
		r.Violation("integrity_check after a power cut: %s", verdict)
	}
	return nil
}
