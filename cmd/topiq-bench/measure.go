package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// measurement is what the rows share.
type measurement struct {
	options  *options
	progress io.Writer
	dir      string          // of the files of SQLite
	cluster  *pgtest.Cluster // nil unless one was started
	stores   int             // how many were given out
	used     []func(context.Context) error
}

func newMeasurement(ctx context.Context, o *options, progress io.Writer) (*measurement, error) {
	if _, err := exec.LookPath(o.Topiq); err != nil {
		return nil, fmt.Errorf("%w: make build builds it", err)
	}
	// Not in the system's directory for such files, which may be in memory: fsync would cost nothing there.
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		return nil, err
	}
	return &measurement{options: o, progress: progress, dir: dir}, ctx.Err()
}

// close removes what was made.
func (m *measurement) close() error {
	err := os.RemoveAll(m.dir)
	if m.cluster != nil {
		err = errors.Join(err, m.cluster.Stop())
	}
	return err
}

// all measures rows. One that fails does not keep the others from being measured.
func (m *measurement) all(ctx context.Context, rows []row) ([]result, error) {
	results := make([]result, len(rows))
	for i, row := range rows {
		began := time.Now()
		_, _ = fmt.Fprintf(m.progress, "%d of %d, %s/%s: %s\n", i+1, len(rows), row.engine, row.name, row.title)
		r := &results[i]
		r.row = row
		if row.measure != nil {
			r.err = row.measure(ctx, m, r)
		} else {
			r.report, r.err = m.bench(ctx, row.engine, row.args...)
		}
		r.err = errors.Join(r.err, m.removeStores(ctx))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if r.err != nil {
			_, _ = fmt.Fprintf(m.progress, "  failed: %v\n", r.err)
		}
		_, _ = fmt.Fprintf(m.progress, "  %s\n", time.Since(began).Round(100*time.Millisecond))
	}
	return results, nil
}

// bench runs `topiq bench --limit` on a store of its own.
func (m *measurement) bench(ctx context.Context, engine string, args ...string) (report, error) {
	store, err := m.store(ctx, engine)
	if err != nil {
		return report{}, err
	}
	return m.topiqBench(ctx, append([]string{"--store=" + store, "--limit", "--rounds=" + strconv.Itoa(m.options.Rounds)}, args...)...)
}

// topiqBench runs `topiq bench`, and returns what it reports.
func (m *measurement) topiqBench(ctx context.Context, args ...string) (r report, err error) {
	all := append([]string{"bench", "--json", "--duration=" + m.options.Duration.String(), "--warm-up=" + m.options.WarmUp.String()}, args...)
	out, err := m.output(ctx, all...)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// output runs topiq to its end, and returns what it has written. When ctx ends it is asked to end, and cleans up.
func (m *measurement) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, m.options.Topiq, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("topiq %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// report is what `topiq bench --json` writes, as far as the table has it.
type report struct {
	Version    string   `json:"version"`
	Durability string   `json:"durability"`
	Topiq      figures  `json:"topiq"`
	Limits     []limit  `json:"limits"`
	Unsafe     []string `json:"unsafe"`
}

type figures struct {
	MessageRate float64        `json:"messages_per_second"`
	ByteRate    float64        `json:"bytes_per_second"`
	Latency     latency        `json:"latency_ms"`
	Errors      map[string]int `json:"errors"`
	AllRounds   []figures      `json:"all_rounds"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type limit struct {
	Name string `json:"name"`
	figures
	Ratio   *spread `json:"ratio"`
	RatioOf string  `json:"ratio_of"`
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// ratio is the ratio to a limit.
func (r *report) ratio(name string) (spread, bool) {
	for i := range r.Limits {
		if r.Limits[i].Name == name && r.Limits[i].Ratio != nil {
			return *r.Limits[i].Ratio, true
		}
	}
	return spread{}, false
}
