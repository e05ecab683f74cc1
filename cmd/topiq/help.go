package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpCommand is `topiq help`.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to tell of."`
}

// Run writes the help of a command, or the overview.
func (c *helpCommand) Run(ctx context.Context, s streams) error {
	return execute(ctx, append(slices.Clone(c.Command), "--help"), s)
}

// printHelp is the printer of each help text.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	_, err := io.WriteString(ctx.Stdout, overview(ctx.Stdout, ctx.Model.Node))
	return err
}

// use is what commands are for.
type use struct {
	title    string
	commands []string
}

// uses are the headings of the overview. A command that none of them names comes at the end.
func uses() []use {
	return []use{
		{"Run a broker", []string{"serve", "health", "store", "tokens"}},
		{"Keep topics", []string{"topics"}},
		{"Write and read messages", []string{"produce", "consume"}},
		{"See who writes and reads", []string{"producers", "consumers", "seek"}},
		{"Take messages elsewhere", []string{"export", "import"}},
		{"Try a broker out", []string{"verify", "bench"}},
		{"About this program", []string{"help", "completion", "version", "licenses"}},
	}
}

// overview is the help text of the program.
func overview(w io.Writer, app *kong.Node) string {
	var b strings.Builder
	b.WriteString("topiq is a durable, ordered message log over HTTP.\n\n" + paint(w, bold, "Usage:") + " topiq <command> [flags]\n")
	for _, use := range commandsByUse(app) {
		b.WriteString("\n" + paint(w, bold, use.title) + "\n" + strings.Join(use.commands, ""))
	}
	b.WriteString(paint(w, bold, "\nExamples") + `
  topiq serve &                                        # a broker, in the file topiq.db
  seq 3 | topiq produce numbers --name=counter         # again? stored once
  topiq consume numbers --from=-1h --json | jq .offset
  topiq consume numbers --name=reader --follow         # the broker keeps its place
  topiq consumers numbers                              # how far behind is it?

` + paint(w, bold, "Environment") + `
  TOPIQ_URL     address of the broker, in place of --url. Each flag has such a
                variable: topiq help <command> tells its name.
  TOPIQ_TOKEN   token for a broker that asks for one; no flag, which others would see.
  NO_COLOR      no colours on a terminal, if it is not empty.

` + paint(w, bold, "Exit codes") + `
  0  done: also if whoever reads the output has stopped
  1  failed: one line on standard error says why
  2  the command line is wrong

topiq help <command>, or topiq <command> --help, tells all of a command.
`)
	return b.String()
}

// commandsByUse has the lines of the commands below the headings.
func commandsByUse(app *kong.Node) []use {
	sorted := uses()
	rest := use{title: "More"}
	for i := range sorted {
		names := sorted[i].commands
		sorted[i].commands = nil
		for _, name := range names {
			for _, command := range app.Leaves(true) {
				if root(command) == name {
					sorted[i].commands = append(sorted[i].commands, summary(command))
				}
			}
		}
	}
	for _, command := range app.Leaves(true) {
		known := slices.ContainsFunc(uses(), func(u use) bool { return slices.Contains(u.commands, root(command)) })
		if !known {
			rest.commands = append(rest.commands, summary(command))
		}
	}
	return slices.DeleteFunc(append(sorted, rest), func(u use) bool { return len(u.commands) == 0 })
}

// root is the first word of a command.
func root(command *kong.Node) string {
	name, _, _ := strings.Cut(words(command), " ")
	return name
}

// words are the words of a command, behind topiq.
func words(command *kong.Node) string {
	_, name, _ := strings.Cut(command.FullPath(), " ")
	return name
}

// Columns of the overview.
const (
	overviewIndent = 25 // where the descriptions begin
	overviewWidth  = 80
)

// summary is the line of a command, or its lines where the description is long.
func summary(command *kong.Node) string {
	var b strings.Builder
	column, _ := fmt.Fprintf(&b, "  %-*s", overviewIndent-3, words(command))
	for word := range strings.FieldsSeq(command.Help) {
		if column+1+len(word) > overviewWidth {
			b.WriteString("\n" + strings.Repeat(" ", overviewIndent-1))
			column = overviewIndent - 1
		}
		n, _ := fmt.Fprintf(&b, " %s", word)
		column += n
	}
	return b.String() + "\n"
}
