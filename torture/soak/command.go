package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
)

// Command is the first argument that makes this program soak a broker.
const Command = "soak"

type flags struct {
	Program string        `default:"bin/topiq" help:"The topiq binary." type:"existingfile"`
	Engine  string        `default:"postgres" enum:"sqlite,postgres" help:"sqlite or postgres."`
	For     time.Duration `default:"1m" help:"How long: 1m, 10m or 1h."`
	Keep    int64         `default:"20000" help:"Messages that the topic keeps."`
	Bytes   int           `default:"1000" help:"Bytes of a message."`
	Svg     string        `placeholder:"FILE" help:"Draw the sizes over time."`
	Csv     string        `placeholder:"FILE" help:"Write all samples."`
}

// Main is the command `torture soak`. It returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	parser, err := kong.New(&f, kong.Name("torture soak"),
		kong.Description("Loads a broker whose topic lets go of its oldest messages, and records what it takes on disk."))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err == nil {
		err = f.run(ctx, stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "torture soak:", err)
		return 1
	}
	return 0
}

func (f *flags) run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the account of PostgreSQL must get in
		return err
	}
	samples, err := Run(ctx, Config{Program: f.Program, Engine: f.Engine, Dir: dir, For: f.For, Keep: f.Keep, Bytes: f.Bytes})
	if err != nil {
		return err
	}
	if len(samples) > 0 {
		last := samples[len(samples)-1]
		_, _ = fmt.Fprintf(out, "%s, %s: %d messages stored, %d kept; files %d MB, WAL %d MB, table %d MB, %d dead rows\n",
			f.Engine, last.After.Round(time.Second), last.Stored, last.Messages, last.Disk/1_000_000, last.WAL/1_000_000,
			last.Table/1_000_000, last.Dead)
	}
	title := fmt.Sprintf("%s, %s of full load, %d messages of %d bytes kept", f.Engine, f.For, f.Keep, f.Bytes)
	return errors.Join(
		writeFile(f.Csv, func(w io.Writer) error { return WriteCSV(w, samples) }),
		writeFile(f.Svg, func(w io.Writer) error { return WriteSVG(w, title, f.Bytes, samples) }),
		Grows(samples),
	)
}

func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
