// Command topiq is a durable, ordered message log over HTTP: the broker, and commands that use one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/topiq/topiq/fault"
)

// version is what the build stamps: -ldflags '-X main.version=…'.
var version = "dev"

// versionLine is what topiq says of itself, with what no ordinary build has.
func versionLine() string {
	return strings.Join(append([]string{"topiq " + version}, fault.Unsafe()...), ", ")
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// commands is the command line: each field is a sub-command, with its flags and their defaults.
type commands struct {
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`

	Serve       serveCommand      `cmd:"" help:"Run a broker."`
	Topics      topicsCommand     `cmd:"" help:"List, create, describe and delete topics."`
	Produce     produceCommand    `cmd:"" help:"Append the lines of a file to a topic, each as one message."`
	Consume     consumeCommand    `cmd:"" help:"Write the messages of a topic to standard output, each as one line."`
	Export      exportCommand     `cmd:"" help:"Write all messages of a topic to standard output, to be imported."`
	Import      importCommand     `cmd:"" help:"Put exported messages into a topic, each once."`
	Consumers   consumersCommand  `cmd:"" help:"List the consumers of a topic, and how far behind they are."`
	Producers   producersCommand  `cmd:"" help:"List the producers of a topic, and how much they have stored."`
	Seek        seekCommand       `cmd:"" help:"Move a consumer to another place in its topic."`
	Store       storeCommand      `cmd:"" help:"Check the store, or tell that its history may have changed, without a broker."`
	Tokens      tokensCommand     `cmd:"" help:"Make, list and revoke the tokens that a broker asks for."`
	Verify      verifyCommand     `cmd:"" help:"Let producers and consumers work on a broker, and check that nothing is lost, doubled or out of order."`
	Bench       benchCommand      `cmd:"" help:"Measure how fast a broker is, beside what limits it."`
	Health      healthCommand     `cmd:"" help:"Ask a broker whether it can work."`
	Help        helpCommand       `cmd:"" help:"Show this overview, or all of a command."`
	Completion  completionCommand `cmd:"" help:"Write the script that makes a shell complete topiq."`
	Complete    completeCommand   `cmd:"" name:"__complete" hidden:""`
	Empty       emptyCommand      `cmd:"" name:"__empty" hidden:""`
	Licenses    licensesCommand   `cmd:"" help:"Print the licences of topiq and of all that it is made of."`
	ShowVersion versionCommand    `cmd:"" name:"version" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// sameSignal is how long after a signal another one counts as the same.
const sameSignal = 500 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A moment after the first signal the process behaves as if there were no handler: a second one ends
	// it. Within the moment it may be the same one: make passes a SIGTERM on to what it runs, which has got
	// it already where it went to the whole process group.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	// Whoever reads our output may stop before its end (topiq consume t | head). A write then
	// answers EPIPE, which run understands, instead of ending the process in the middle of a commit.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code. A failure is one line on stderr. ctx
// ends when the process is asked to end.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := execute(ctx, args, streams{in: stdin, out: output{stdout}, err: stderr})
	if closed, ok := errors.AsType[*outputError](err); err == nil || ok && closed.byReader() {
		return exitOK
	}
	_, _ = fmt.Fprintf(stderr, "%s %s\n", paint(stderr, red, "topiq:"), oneLine(err))
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

func execute(ctx context.Context, args []string, s streams) error {
	if err := fault.Check(); err != nil {
		return &usageError{err}
	}
	done := false // --help and --version do all there is to do while the flags are parsed
	parser, err := newParser(ctx, s, func(int) { done = true })
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if done {
		return nil
	}
	if _, ok := errors.AsType[*outputError](err); ok {
		return err // the help could not be written
	}
	if err != nil {
		return &usageError{cause: fmt.Errorf("%w (topiq --help shows what there is)", err)}
	}
	return command.Run()
}

// newParser reads command lines for commands that use the streams. It calls exit when it has done
// all that a command line asks for.
func newParser(ctx context.Context, s streams, exit func(int)) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("topiq"),
		kong.Description("A durable, ordered message log over HTTP."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(printHelp),
		kong.ExplicitGroups(groups()),
		kong.DefaultEnvars("TOPIQ"),
		kong.Vars{"version": versionLine()},
		kong.Writers(s.out, s.err),
		kong.Exit(exit),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
}

// groups are the headings of the flags in a help text.
func groups() []kong.Group {
	return []kong.Group{
		{Key: "access", Title: "Access:"},
		{Key: "postgres", Title: "PostgreSQL:"},
		{Key: "limits", Title: "Limits:"},
		{Key: "quotas", Title: "Quotas:"},
	}
}

// usageError is a command line that cannot be executed.
type usageError struct{ cause error }

// Error implements error.
func (e *usageError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.cause }

// oneLine is an error on one line, for errors.Join puts each of its own on one, and without the
// name of the program that those of the SDK begin with.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "topiq: ")
	}
	return strings.Join(lines, "; ")
}

// versionCommand is `topiq version`.
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, versionLine())
	return err
}
