// Command torture breaks topiq in every way it knows, and checks that nothing is lost.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/topiq/topiq/torture/pollers"
	"github.com/topiq/topiq/torture/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes a command line and returns the exit code: 1 where anything is red or could not be
// run.
func run(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == pollers.Command {
		return pollers.Run(ctx, args[1:], os.Stdout, os.Stderr)
	}
	if len(args) > 0 && args[0] == soak.Command {
		return soak.Main(ctx, args[1:], os.Stdout, os.Stderr)
	}
	var f flags
	parser, err := kong.New(&f,
		kong.Name("torture"),
		kong.Description("Breaks topiq in every way it knows, and checks that nothing is lost."),
		kong.UsageOnError(),
	)
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err == nil {
		err = f.run(ctx, os.Stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	return 0
}
