package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/topiq/topiq/torture/nemesis"
	"github.com/topiq/topiq/torture/report"
)

// flags are the command line.
type flags struct {
	List     bool     `help:"List the nemeses and what they need, and do nothing else."`
	Only     []string `help:"Run only these: N1,N7."`
	Engine   []string `help:"Run only on these engines: sqlite, postgres, memory."`
	Rounds   int      `default:"0" help:"Rounds of each nemesis on each engine; 0 is the short programme."`
	Seed     uint64   `default:"0" help:"Seed of the first round; round i has seed+i. 0 is a random one."`
	Results  string   `placeholder:"FILE" help:"Append the result of each round to this file, one JSON object a line."`
	Table    string   `placeholder:"FILE" help:"Write the tables of all results into this document, between its marks. With --rounds=-1 nothing else is done."`
	Mistakes bool     `help:"Tests of the tests: switch on each classic mistake, and fail unless it is caught."`
	Mistake  []string `help:"With --mistakes: only these."`
	Keep     bool     `help:"Keep the directories of all rounds, not only of those that fail."`
	Dir      string   `help:"Where rounds work; default a new directory below the system's for temporary files." placeholder:"DIR"`
	Parallel int      `default:"1" help:"Rounds at a time; one at a time with --mistakes."`
	Race     bool     `help:"Build the brokers with the race detector."`
	Root     string   `default:"" help:"The root of topiq's sources; default .. or ." placeholder:"DIR"`
	Old      string   `default:"6405f4c" help:"The commit of the earlier version for N24."`
	Verbose  bool     `short:"v" help:"Log what is done."`
}

func (f *flags) run(ctx context.Context, out io.Writer) error {
	if f.List {
		return list(out)
	}
	var problems error
	if f.Rounds >= 0 {
		problems = f.programme(ctx, out)
	}
	if f.Table != "" {
		problems = errors.Join(problems, f.writeTable())
	}
	return problems
}

func list(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range nemesis.All() {
		needs := make([]string, 0, len(n.Needs))
		for _, need := range n.Needs {
			needs = append(needs, need.Name)
		}
		state := "ready"
		if err := n.Missing(); err != nil {
			state = "cannot run here: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		short := "not in the short programme"
		if n.Short > 0 {
			short = fmt.Sprintf("short: %d", n.Short)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\tneeds: %s\t%s\n", n.ID, n.Name, strings.Join(n.Engines, ","), short, strings.Join(needs, ", "), state)
	}
	return w.Flush()
}

// chosen are the nemeses that the flags ask for.
func (f *flags) chosen() ([]nemesis.Nemesis, error) {
	all := nemesis.All()
	if len(f.Only) == 0 {
		if f.Rounds == 0 {
			all = slices.DeleteFunc(all, func(n nemesis.Nemesis) bool { return n.Short == 0 })
		}
		return all, nil
	}
	var list []nemesis.Nemesis
	for _, id := range f.Only {
		i := slices.IndexFunc(all, func(n nemesis.Nemesis) bool { return strings.EqualFold(n.ID, id) })
		if i < 0 {
			return nil, fmt.Errorf("there is no nemesis %q; --list shows those there are", id)
		}
		list = append(list, all[i])
	}
	return list, nil
}

// programme runs everything that was asked for.
func (f *flags) programme(ctx context.Context, out io.Writer) error {
	chosen, err := f.chosen()
	if err != nil {
		return err
	}
	if f.Seed == 0 {
		f.Seed = 1 + rand.Uint64N(1<<32)
	}
	level := slog.LevelWarn
	if f.Verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	p := &programme{flags: f, out: out, log: log}
	if err := p.prepare(ctx); err != nil {
		return errors.Join(err, p.close())
	}
	if f.Mistakes {
		err = p.mistakes(ctx)
	} else {
		err = p.rounds(ctx, chosen)
	}
	return errors.Join(err, p.close())
}

// writeTable writes the tables of all results into a document.
func (f *flags) writeTable() error {
	if f.Results == "" {
		return errors.New("--table needs --results: it is made of all that is in there")
	}
	results, err := report.Read(f.Results)
	if err != nil {
		return err
	}
	return report.Write(f.Table, results)
}
