// Command topiq-bench measures the standard table of docs/performance.md, with `topiq bench` and beside it with
// what that command does not do: topics of 10^7 messages, waiting clients, memory, a cold start. `make bench` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// options are the command line.
type options struct {
	Topiq    string        `default:"bin/topiq" help:"The program that is measured."`
	Only     []string      `placeholder:"NAME" help:"Measure only rows of these names, where * stands for anything."`
	Engine   []string      `default:"memory,sqlite,postgres" enum:"memory,sqlite,postgres" help:"Engines to measure."`
	Rounds   int           `default:"5" help:"Rounds of each row, of topiq and its limits in turn."`
	Duration time.Duration `default:"2s" help:"How long each is measured in a round."`
	WarmUp   time.Duration `default:"500ms" help:"How long the load is on before."`
	Profiles string        `placeholder:"DIR" help:"Write where brokers have spent their time into files in this directory, for go tool pprof."`
	Postgres string        `placeholder:"URL" help:"A server to measure on, whose user may create databases; if missing, one is started and removed afterwards."`
	Write    string        `placeholder:"FILE" help:"Document to write the table into, between its markers, if all of it was measured."`
	Apart    bool          `help:"Let the clients of idle-pollers wait at another process than the broker, to see what of it is the machine's."`
	List     bool          `help:"List the rows, and measure nothing."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "topiq-bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures what one command line asks for.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	var o options
	parser, err := kong.New(&o, kong.Name("topiq-bench"), kong.Description("Measure the table of docs/performance.md."))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	chosen, err := o.rows()
	if err != nil {
		return err
	}
	if o.List {
		for _, r := range chosen {
			_, _ = fmt.Fprintf(out, "%s/%s: %s\n", r.engine, r.name, r.title)
		}
		return nil
	}
	if o.Rounds < 1 || o.Duration <= 0 || o.WarmUp < 0 {
		return errors.New("--rounds and --duration must be above 0, and --warm-up not below it")
	}
	m, err := newMeasurement(ctx, &o, progress)
	if err != nil {
		return err
	}
	results, err := m.all(ctx, chosen)
	made := m.about(ctx, args)
	if err = errors.Join(err, m.close()); err != nil { //nolint:contextcheck // what was started is stopped, whatever has ended
		return err
	}
	table := render(results, made)
	if _, err := io.WriteString(out, table); err != nil {
		return err
	}
	if o.Write != "" && len(chosen) == len(standardRows()) {
		if err := writeBetween(o.Write, table); err != nil {
			return err
		}
	}
	return failures(results)
}

// rows are those of the table that were asked for.
func (o *options) rows() ([]row, error) {
	var chosen []row
	for _, r := range standardRows() {
		if slices.Contains(o.Engine, r.engine) && o.wants(r.name) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no row is named %s: --list shows them", strings.Join(o.Only, ", "))
	}
	return chosen, nil
}

func (o *options) wants(name string) bool {
	return len(o.Only) == 0 || slices.ContainsFunc(o.Only, func(pattern string) bool {
		matches, err := path.Match(pattern, name)
		return err == nil && matches
	})
}

// failures are the rows that could not be measured.
func failures(results []result) error {
	var err error
	for i := range results {
		if results[i].err != nil {
			err = errors.Join(err, fmt.Errorf("%s/%s: %w", results[i].row.engine, results[i].row.name, results[i].err))
		}
	}
	return err
}
