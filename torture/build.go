package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/topiq/topiq/torture/report"
	"github.com/topiq/topiq/torture/server"
)

// builder builds the programs that are tortured.
type builder struct {
	root string // of topiq's sources
	dir  string // for what is built
	race bool
}

func (b *builder) findRoot() error {
	if b.root != "" {
		return nil
	}
	for _, dir := range []string{".", ".."} {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "topiq", "main.go")); err == nil {
			b.root, err = filepath.Abs(dir)
			return err
		}
	}
	return errors.New("topiq's sources are not here: say where with --root")
}

// build builds cmd/topiq with build tags, and returns the path of the program.
func (b *builder) build(ctx context.Context, name, tags string) (string, error) {
	return b.buildIn(ctx, b.root, name, "-tags", tags, "-ldflags", "-X main.version="+b.commit(ctx)+"+torture")
}

func (b *builder) buildIn(ctx context.Context, root, name string, flags ...string) (string, error) {
	path := filepath.Join(b.dir, name)
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	if b.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/topiq")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return path, nil
}

// buildOld builds an earlier version from its commit.
func (b *builder) buildOld(ctx context.Context, commit string) (string, error) {
	dir := filepath.Join(b.dir, "old")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	script := `git archive --format=tar "$1" | tar -x -C "$2"`
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "archive", commit, dir)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the sources of the earlier version %s: %w: %s", commit, err, out)
	}
	return b.buildIn(ctx, dir, "topiq-old")
}

func (b *builder) commit(ctx context.Context) string {
	return b.output(ctx, "git", "describe", "--tags", "--always", "--dirty")
}

// output is what a command prints, "unknown" if it cannot be run.
func (b *builder) output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.root
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// versions finds what everything runs on.
func (b *builder) versions(ctx context.Context) (report.Versions, error) {
	v := report.Versions{Topiq: b.commit(ctx), Go: runtime.Version(), Kernel: b.output(ctx, "uname", "-sr")}
	programs, err := server.PostgresPrograms()
	if err != nil {
		return v, err
	}
	v.Postgres = strings.TrimPrefix(b.output(ctx, filepath.Join(programs, "postgres"), "--version"), "postgres (PostgreSQL) ")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "modernc.org/sqlite" {
				v.SQLite = m.Path + " " + m.Version
			}
		}
	}
	return v, nil
}
