package soak_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/torture/soak"
)

// TestSpaceIsUsedAgain is a minute of full load on each engine, with -short half of one on SQLite. PostgreSQL needs the minute: in half of
// it the server would have to vacuum every other second, and one vacuum that comes a second late is a third of what the table takes.
//
//nolint:paralleltest,usetesting // each wants the machine for itself, in a directory that another user may enter
func TestSpaceIsUsedAgain(t *testing.T) {
	program := filepath.Join(t.TempDir(), "topiq")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/topiq")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, engine := range []string{soak.SQLite, soak.Postgres} {
		t.Run(engine, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "soak")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c := soak.Config{Program: program, Engine: engine, Dir: dir, For: time.Minute}
			if testing.Short() {
				c.Keep = 500
				if engine == soak.SQLite {
					c.For = 30 * time.Second
				}
			}
			samples, err := soak.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := soak.Grows(samples); err != nil {
				t.Error(err)
			}
		})
	}
}

// made are samples of a store that takes what size says.
func made(size func(i int) int64) []soak.Sample {
	samples := make([]soak.Sample, 30)
	for i := range samples {
		n := int64(i + 1)
		samples[i] = soak.Sample{After: time.Duration(n) * time.Second, Stored: 1000 * n, Messages: 1000, Bytes: 1_000_000, Disk: size(i)}
	}
	return samples
}

func TestGrows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		samples []soak.Sample
		want    string
	}{
		"bounded": {made(func(i int) int64 { return 5_000_000 + int64(i%3)*1_000_000 }), ""},
		"less in between": {made(func(i int) int64 {
			if i >= 10 && i < 20 {
				return 3_000_000
			}
			return 6_000_000
		}), ""},
		"growing":        {made(func(i int) int64 { return int64(i) * 1_000_000 }), "the store"},
		"growing faster": {made(func(i int) int64 { return int64(i) * int64(i) }), "the store"},
		"too few":        {made(func(int) int64 { return 1 })[:5], "too few"},
	} {
		err := soak.Grows(test.samples)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	t.Parallel()
	var plot strings.Builder
	if err := soak.WriteSVG(&plot, "sizes", 1000, made(func(i int) int64 { return int64(i) * 1000 })); err != nil {
		t.Fatal(err)
	}
	decoder, curves := xml.NewDecoder(strings.NewReader(plot.String())), 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "polyline" {
			curves++
		}
	}
	if curves != 3 { // no table and no WAL
		t.Errorf("%d curves: %s", curves, plot.String())
	}
}
