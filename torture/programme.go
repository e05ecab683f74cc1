package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/topiq/topiq/torture/nemesis"
	"github.com/topiq/topiq/torture/report"
	"github.com/topiq/topiq/torture/server"
)

// programme is one run of the suite.
type programme struct {
	flags *flags
	out   io.Writer
	log   *slog.Logger

	dir  string // of everything
	made bool   // by us, so that it may be removed
	env  nemesis.Env
	work sync.WaitGroup

	mu     sync.Mutex
	failed []string // rounds
	passed int
}

// prepare makes the directory, builds the broker and makes the template of a database cluster.
func (p *programme) prepare(ctx context.Context) (err error) {
	if p.dir = p.flags.Dir; p.dir == "" {
		// The paths of sockets below it are short enough, and the account of PostgreSQL may enter.
		if p.dir, err = os.MkdirTemp("/tmp", "torture-"); err != nil {
			return err
		}
		p.made = true
	}
	if err := errors.Join(os.MkdirAll(p.dir, 0o755), os.Chmod(p.dir, 0o755)); err != nil {
		return err
	}
	b := &builder{root: p.flags.Root, dir: filepath.Join(p.dir, "bin"), race: p.flags.Race}
	if err := b.findRoot(); err != nil {
		return err
	}
	p.env = nemesis.Env{Log: p.log, Short: p.flags.Rounds == 0 && !p.flags.Mistakes}
	if p.env.Topiq, err = b.build(ctx, "topiq", "faults"); err != nil {
		return err
	}
	if p.flags.Mistakes {
		if p.env.Mistaken, err = b.build(ctx, "topiq-badideas", "faults,badideas"); err != nil {
			return err
		}
	}
	p.env.Old = sync.OnceValues(func() (string, error) { return b.buildOld(ctx, p.flags.Old) })
	if p.env.Versions, err = b.versions(ctx); err != nil {
		return err
	}
	return p.makeTemplate(ctx)
}

// makeTemplate runs initdb once; rounds copy what it makes.
func (p *programme) makeTemplate(ctx context.Context) error {
	dir := filepath.Join(p.dir, "template")
	pg, err := server.NewPostgres(server.PostgresConfig{Data: filepath.Join(dir, "data"), Dir: dir, Name: "initdb"})
	if err != nil {
		return err // each round on PostgreSQL would fail with it
	}
	p.env.Template = pg.Data()
	return pg.Create(ctx)
}

func (p *programme) close() error {
	p.work.Wait()
	if !p.made || p.flags.Keep {
		return nil
	}
	if len(p.failed) > 0 {
		// What the failed rounds left is all that tells why.
		for _, name := range []string{"bin", "template"} {
			_ = os.RemoveAll(filepath.Join(p.dir, name))
		}
		return nil
	}
	return os.RemoveAll(p.dir)
}

// job is one round that is to be run.
type job struct {
	n      nemesis.Nemesis
	engine string
	seed   uint64
}

func (p *programme) rounds(ctx context.Context, chosen []nemesis.Nemesis) error {
	var jobs []job
	for _, n := range chosen {
		if err := n.Missing(); err != nil {
			p.fail(fmt.Sprintf("%s (%s) cannot run here: %v", n.ID, n.Name, err))
			continue
		}
		rounds := p.flags.Rounds
		if rounds == 0 {
			rounds = max(n.Short, 1)
		}
		for i := range rounds {
			for _, engine := range n.Engines {
				if len(p.flags.Engine) == 0 || slices.Contains(p.flags.Engine, engine) {
					jobs = append(jobs, job{n, engine, p.flags.Seed + uint64(i)})
				}
			}
		}
	}
	slots := make(chan struct{}, max(p.flags.Parallel, 1))
	for _, j := range jobs {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		p.work.Go(func() {
			defer func() { <-slots }()
			p.round(ctx, &p.env, j)
		})
	}
	p.work.Wait()
	return p.verdict(ctx)
}

// round makes one round, tells of it and keeps its result.
func (p *programme) round(ctx context.Context, env *nemesis.Env, j job) *report.Result {
	dir := filepath.Join(p.dir, j.n.ID+"-"+j.engine+"-"+strconv.FormatUint(j.seed, 10))
	r := nemesis.NewRound(env, &j.n, j.engine, j.seed, dir)
	r.Run(ctx, &j.n)
	result := &r.Result
	result.Caught = result.Mistake != "" && sees(result.Mistake, result)
	p.tell(result)
	if p.flags.Results != "" && ctx.Err() == nil {
		if err := report.Append(p.flags.Results, *result); err != nil {
			p.fail(err.Error())
		}
	}
	if !result.Failed() && !p.flags.Keep || result.Mistake != "" {
		if err := os.RemoveAll(dir); err != nil {
			p.fail(err.Error())
		}
	}
	return result
}

// tell writes a line about a round, and more where it failed.
func (p *programme) tell(r *report.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	word := "ok     "
	switch {
	case r.Red():
		word = "RED    "
	case r.Error != "":
		word = "ERROR  "
	case r.Invalid != "":
		word = "INVALID"
	}
	if r.Mistake != "" {
		word = r.Mistake + ": " + word
	}
	_, _ = fmt.Fprintf(p.out, "%s %-4s %-8s seed %d  %5.1f s  %d %s, %d ops, %d acked, %d unknown (%d stored), lost %d dup %d ghost %d order %d gap %d other %d, recovery %d ms, rate %.0f → %.0f\n",
		word, r.Nemesis, r.Engine, r.Seed, r.Seconds, r.Faults, r.FaultName, r.Ops, r.Acked, r.Unknown, r.UnknownStored,
		r.Lost, r.Duplicate, r.Ghost, r.Reordered, r.Gap, r.Other, r.WorstRecovery(), r.RateBefore, r.RateAfter)
	if r.Mistake != "" {
		return // whether that was wanted is seen by the caller
	}
	if !r.Failed() {
		p.passed++
		return
	}
	for _, v := range r.Violations {
		_, _ = fmt.Fprintln(p.out, "        ", v)
	}
	for _, v := range []string{r.Error, r.Invalid} {
		if v != "" {
			_, _ = fmt.Fprintln(p.out, "        ", v)
		}
	}
	p.failed = append(p.failed, fmt.Sprintf("%s on %s, seed %d", r.Nemesis, r.Engine, r.Seed))
}

func (p *programme) fail(sentence string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, sentence)
	_, _ = fmt.Fprintln(p.out, "FAILED ", sentence)
}

func (p *programme) verdict(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return errors.New("it was interrupted")
	case len(p.failed) > 0:
		return fmt.Errorf("%d of %d rounds failed or could not be run; what they left is in %s", len(p.failed), len(p.failed)+p.passed, p.dir)
	case p.passed == 0:
		return errors.New("nothing was run")
	}
	_, _ = fmt.Fprintf(p.out, "all %d rounds passed; the first seed was %d\n", p.passed, p.flags.Seed)
	return nil
}
