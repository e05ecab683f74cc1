package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/topiq/topiq/db"
	"github.com/topiq/topiq/service"
)

// storeCommand is `topiq store`.
type storeCommand struct {
	Check          storeCheckCommand          `cmd:"" help:"Check that all that is stored agrees."`
	Backup         storeBackupCommand         `cmd:"" help:"Write a copy of an SQLite store, also while a broker serves it."`
	NewIncarnation storeNewIncarnationCommand `cmd:"" help:"Tell clients that the history of topics may have changed."`
}

// storeFlags say which store a command opens, without a broker.
type storeFlags struct {
	Store            string `default:"sqlite:topiq.db" help:"Where messages are kept: sqlite:FILE, which no broker may have open, or postgres://USER@HOST/DATABASE."`
	UnsafeDurability bool   `group:"postgres" help:"Accept a server whose settings may lose messages that were acknowledged."`
}

// open opens a store that is there. To make an empty one where a name was mistyped, and to find it in
// order, would be the wrong answer.
func (f storeFlags) open(ctx context.Context, s streams) (service.Store, error) {
	scheme, path, _ := strings.Cut(f.Store, ":")
	file := strings.EqualFold(scheme, "sqlite")
	if strings.EqualFold(scheme, "memory") {
		return nil, &usageError{errors.New("--store memory: is inside its broker and nowhere else")}
	}
	if file && path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("--store %s: %w", f.Store, err)
		}
	}
	return f.connect(ctx, s, file)
}

// connect opens a store, or makes one that is not there.
func (f storeFlags) connect(ctx context.Context, s streams, file bool) (service.Store, error) {
	store, err := db.Open(ctx, f.Store, db.Config{
		Logger:           slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		UnsafeDurability: f.UnsafeDurability,
	})
	if err != nil && file {
		err = fmt.Errorf("%w (--store opens the file itself: stop its broker first)", err)
	}
	return store, err
}

// begin is do, with a store that may not be there yet.
func (f storeFlags) begin(ctx context.Context, s streams, call func(context.Context, service.Store) error) error {
	scheme, path, _ := strings.Cut(f.Store, ":")
	if _, err := os.Stat(path); !strings.EqualFold(scheme, "sqlite") || path == "" || !errors.Is(err, os.ErrNotExist) {
		return f.do(ctx, s, call)
	}
	_, _ = fmt.Fprintf(s.err, "%s is not there: it is made now\n", path)
	store, err := f.connect(ctx, s, true)
	if err != nil {
		return err
	}
	return errors.Join(call(ctx, store), store.Close())
}

// do calls a function with the store and closes it.
func (f storeFlags) do(ctx context.Context, s streams, call func(context.Context, service.Store) error) error {
	store, err := f.open(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(call(ctx, store), store.Close())
}

// storeCheckCommand is `topiq store check`.
type storeCheckCommand struct {
	storeFlags
	JSON bool `name:"json" help:"Write one JSON object."`
}

// Help says more than the help of the flags; kong calls it.
func (*storeCheckCommand) Help() string {
	return "Reads everything and writes what contradicts itself: offsets that are missing, heads, sizes and " +
		"times that do not fit the messages, sequence numbers that are missing, repeated or not what " +
		"the producer's row says, consumers beyond the end. The exit code is 0 if there is nothing " +
		"of the kind, and 1 if there is, or if not all could be checked. The check repairs nothing.\n\n" +
		"Brokers on PostgreSQL may go on meanwhile, and are never blamed for it; but only a store that " +
		"nobody writes to is checked as a whole."
}

// Run checks the store.
func (c *storeCheckCommand) Run(ctx context.Context, s streams) error {
	return c.do(ctx, s, func(ctx context.Context, store service.Store) error {
		var findings []service.Finding
		sum, failure := service.Audit(ctx, store, func(f service.Finding) { findings = append(findings, f) })
		write := writeCheck
		if c.JSON {
			write = writeCheckJSON
		}
		wrote := write(s, sum, findings, failure == nil)
		if sum.Findings > 0 {
			failure = errors.Join(failure, fmt.Errorf("what is stored contradicts itself in %s", plural(sum.Findings, "place")))
		}
		if failure != nil && wrote != nil {
			// Only its text: whoever stops to read a command's output makes it end with success.
			return errors.Join(failure, errors.New(wrote.Error()))
		}
		return errors.Join(failure, wrote)
	})
}

// writeCheck writes the findings as a table, and a line that says what was looked at.
func writeCheck(s streams, sum service.Summary, findings []service.Finding, complete bool) error {
	out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	if len(findings) > 0 {
		_, _ = fmt.Fprint(out, "TOPIC\tWHAT\tEXPECTED\tFOUND\n") // the writer keeps it until Flush
	}
	for _, f := range findings {
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", f.Topic, f.What, f.Expected, f.Found)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	verdict := "all agrees"
	switch {
	case sum.Findings > 0:
		verdict = plural(sum.Findings, "finding")
		if hidden := sum.Findings - int64(len(findings)); hidden > 0 {
			verdict += fmt.Sprintf(", %d of them not shown", hidden)
		}
	case !complete:
		verdict = "no findings"
	}
	if !complete {
		verdict += ", but not all was checked"
	}
	_, err := fmt.Fprintf(s.out, "%s, %s, %s, %s: %s\n", plural(sum.Topics, "topic"), plural(sum.Messages, "message"),
		plural(sum.Producers, "producer"), plural(sum.Consumers, "consumer"), verdict)
	return err
}

// plural is a number of things.
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// storeChecked is what `topiq store check --json` writes.
type storeChecked struct {
	// Complete says that nothing failed: without it the rest is no verdict.
	Complete  bool  `json:"complete"`
	Topics    int64 `json:"topics"`
	Messages  int64 `json:"messages"`
	Producers int64 `json:"producers"`
	Consumers int64 `json:"consumers"`
	// FindingsTotal counts all findings; Findings has the first 100 of each topic.
	FindingsTotal int64          `json:"findings_total"`
	Findings      []storeFinding `json:"findings"`
}

type storeFinding struct {
	Topic    service.TopicName `json:"topic"`
	What     string            `json:"what"`
	Expected string            `json:"expected"`
	Found    string            `json:"found"`
}

func writeCheckJSON(s streams, sum service.Summary, findings []service.Finding, complete bool) error {
	result := storeChecked{
		Complete: complete, Topics: sum.Topics, Messages: sum.Messages, Producers: sum.Producers,
		Consumers: sum.Consumers, FindingsTotal: sum.Findings, Findings: make([]storeFinding, len(findings)),
	}
	for i, f := range findings {
		result.Findings[i] = storeFinding(f)
	}
	out := json.NewEncoder(s.out)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(result)
}
