package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRowsAreNamedOnceForEachEngine(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range standardRows() {
		name := r.engine + "/" + r.name
		if seen[name] {
			t.Errorf("there are two rows %s", name)
		}
		seen[name] = true
		if (r.measure == nil) == (len(r.args) == 0) || r.title == "" {
			t.Errorf("%s has not exactly one way to be measured", name)
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d rows", len(seen))
	}
}

// TestTargetsNameRows: a target whose row has another name would be "not measured" for ever.
func TestTargetsNameRows(t *testing.T) {
	t.Parallel()
	results := found{}
	for _, r := range standardRows() {
		one := result{row: r}
		one.report.Topiq.MessageRate = 100
		for _, name := range []string{"empty handler", "COPY", "SELECT", "bare commit"} {
			one.report.Limits = append(one.report.Limits, limit{Name: name, Ratio: &spread{1, 1, 1}})
		}
		if r.measure != nil && r.name != "end-to-end" {
			one.facts = []fact{{name: "a", value: 1}, {name: "b", value: 1}}
		}
		results = append(results, one)
	}
	for _, target := range targets() {
		if got, met, measured := target.judge(results); !measured || !met {
			t.Errorf("%s: %q, met %t, measured %t", target.what, got, met, measured)
		}
		if _, met, measured := target.judge(nil); met || measured {
			t.Errorf("%s is met, or measured, by nothing", target.what)
		}
	}
}

// TestTargetsCanBeMissed gives each target figures that miss it.
func TestTargetsCanBeMissed(t *testing.T) {
	t.Parallel()
	results := found{}
	for _, r := range standardRows() {
		one := result{row: r}
		one.report.Topiq.MessageRate = 100
		ratio := spread{0.1, 0.1, 0.1}
		if r.name == "end-to-end" {
			ratio = spread{3.1, 3, 4}
		}
		for _, name := range []string{"empty handler", "COPY", "SELECT", "bare commit"} {
			one.report.Limits = append(one.report.Limits, limit{Name: name, Ratio: &ratio})
		}
		if r.measure != nil && r.name != "end-to-end" {
			one.facts = []fact{{name: "a", value: 1e4}, {name: "b", value: 1}}
		}
		if r.name == "topics-in-turn" {
			one.facts[0].value = 0.79
		}
		results = append(results, one)
	}
	for _, target := range targets() {
		if got, met, measured := target.judge(results); !measured || met {
			t.Errorf("%s: %q, met %t, measured %t", target.what, got, met, measured)
		}
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	rows := standardRows()
	one := result{row: rows[2]} // memory/produce-64
	one.report.Topiq = figures{MessageRate: 12345.6, ByteRate: 1.25e6, Latency: latency{P50: 1.5, P99: 9.75}, Errors: map[string]int{"overloaded": 2}}
	one.report.Limits = []limit{{Name: "empty handler", figures: figures{MessageRate: 20000}, Ratio: &spread{0.62, 0.5, 0.7}}}
	facts := result{row: row{engine: "sqlite", name: "cold-start", title: "start"}, facts: []fact{factOf("start to ready", "ms", []float64{150, 120.4, 130})}}
	failed := result{row: row{engine: "sqlite", name: "produce-1", title: "produce"}, err: errors.New("no")}
	text := render([]result{one, facts, failed}, about{
		command: "make bench", machine: "2 × x", versions: "topiq 1", at: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
	})
	for _, want := range []string{
		"Measured by `make bench` on 2026-01-02 03:04 UTC, on 2 × x; topiq 1.\n",
		"\n### Memory\n", "\n### SQLite\n",
		"| `produce-64` | produce, 64 connections | 12,346 | 1.2 | 1.50 | 9.75 | 0.62 (0.50–0.70) empty handler, 20,000/s; 2 errors |\n",
		"| `cold-start` | start |  |  |  |  | start to ready 130 (120–150) ms |\n",
		"| `produce-1` | produce | failed |  |  |  |  |\n",
		"| produce, 1 message a request, 64 connections, memory | ≥ 0.85 × empty handler | 0.62 (0.50–0.70) | **not met** |\n",
		"| start to ready, SQLite file of 10^6 messages | < 300 ms | start to ready 130 (120–150) ms | met |\n",
		"| the same, SQLite | ≥ 0.60 × empty handler | – | not measured |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "### PostgreSQL") {
		t.Error("an engine without rows has a table")
	}
	for line := range strings.Lines(text) {
		if n := strings.Count(line, "|"); n != 0 && n != 5 && n != 8 {
			t.Errorf("%d bars: %s", n, line)
		}
	}
	if err := failures([]result{one, failed}); err == nil || !strings.Contains(err.Error(), "sqlite/produce-1") {
		t.Errorf("a row that failed: %v", err)
	}
}

func TestWriteBetween(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "performance.md")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + beginMarker + "\nold\n" + endMarker + "\nafter\n")
	for _, table := range []string{"one\n", "two\n"} {
		if err := writeBetween(name, table); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if want := "before\n" + beginMarker + "\n\n" + table + "\n" + endMarker + "\nafter\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	write("no markers\n")
	if err := writeBetween(name, "x"); err == nil {
		t.Error("a document without markers is written")
	}
}

func TestOnly(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), []string{"--list", "--only=produce-64,batch-*", "--engine=sqlite"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 5 || !strings.Contains(got, "sqlite/produce-64: ") || strings.Contains(got, "memory/") {
		t.Errorf("listed:\n%s", got)
	}
	for _, args := range [][]string{{"--only=nothing"}, {"--engine=mysql"}, {"--rounds=0", "--only=produce-1"}, {"--topiq=/nowhere/topiq"}} {
		if err := run(t.Context(), args, &out, &out); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

// TestMeasuresBesideOthers runs one row with a program that stands in for topiq.
func TestMeasuresBesideOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	program := filepath.Join(t.TempDir(), "topiq")
	script := "#!/bin/sh\n[ \"$1\" = version ] && { echo topiq test; exit 0; }\n" +
		"case \"$*\" in *connections=8*) echo broken >&2; exit 1;; esac\n" +
		`echo '{"topiq":{"messages_per_second":50},"limits":[{"name":"empty handler","messages_per_second":100,"ratio":{"median":0.5,"min":0.4,"max":0.6}}]}'` + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, progress strings.Builder
	err := run(context.WithoutCancel(t.Context()), []string{"--topiq=" + program, "--engine=memory", "--only=produce-64,produce-8"}, &out, &progress)
	if err == nil || !strings.Contains(err.Error(), "memory/produce-8") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a row that fails: %v", err)
	}
	if !strings.Contains(out.String(), "| 50 | 0.0 | 0.00 | 0.00 | 0.50 (0.40–0.60) empty handler, 100/s |") || !strings.Contains(out.String(), "topiq test") {
		t.Errorf("the table is\n%s", out.String())
	}
	left, err := filepath.Glob("bench-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
