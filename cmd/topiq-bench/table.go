package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The lines of a document between which the table stands.
const (
	beginMarker = "<!-- bench:begin -->"
	endMarker   = "<!-- bench:end -->"
)

// about is what a table must say of its making: without it, figures mean nothing.
type about struct {
	command, machine, versions string
	at                         time.Time
}

// about looks at this machine.
func (m *measurement) about(ctx context.Context, args []string) about {
	a := about{command: "make bench", at: time.Now().UTC()}
	if len(args) > 0 {
		a.command = "topiq-bench " + strings.Join(args, " ")
	}
	run := func(program string, args ...string) string {
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			return "unknown"
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return line
	}
	a.machine = fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), processor(), run("uname", "-srm"))
	a.versions = run(m.options.Topiq, "version") + ", " + runtime.Version()
	if version := m.postgresVersion(ctx); version != "" {
		a.versions += ", PostgreSQL " + version
	}
	return a
}

// processor is the name of the processor, as far as Linux tells it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); err == nil && found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}

// render is all that stands between the markers.
func render(results []result, a about) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured by `%s` on %s, on %s; %s.\n", a.command, a.at.Format("2006-01-02 15:04 UTC"), a.machine, a.versions)
	for _, engine := range []string{"memory", "sqlite", "postgres"} {
		renderEngine(&b, engine, results)
	}
	b.WriteString("\n### Targets\n\n| what | target | measured | |\n|---|---|---|---|\n")
	for _, t := range targets() {
		got, met, measured := t.judge(results)
		verdict := "**not met**"
		switch {
		case !measured:
			got, verdict = "–", "not measured"
		case met:
			verdict = "met"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.what, t.want, got, verdict)
	}
	return b.String()
}

// renderEngine writes the rows of an engine, if there are any.
func renderEngine(b *strings.Builder, engine string, results []result) {
	begun := false
	for i := range results {
		r := &results[i]
		if r.row.engine != engine {
			continue
		}
		if !begun {
			begun = true
			fmt.Fprintf(b, "\n### %s%s\n\n", strings.ToUpper(nameOf(engine)[:1]), nameOf(engine)[1:])
			b.WriteString("| row | what | messages/s | MB/s | p50 ms | p99 ms | topiq ÷ limit |\n|---|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", r.row.name, r.row.title, r.cells())
	}
}

// cells are the figures of a row.
func (r *result) cells() string {
	switch {
	case r.err != nil:
		return "failed |  |  |  | "
	case len(r.facts) > 0:
		texts := make([]string, len(r.facts))
		for i, f := range r.facts {
			texts[i] = f.text()
		}
		return strings.Join([]string{"", "", "", "", strings.Join(texts, "; ")}, " | ")
	}
	f := &r.report.Topiq
	var ratios []string
	for i := range r.report.Limits {
		l := &r.report.Limits[i]
		if l.Ratio == nil {
			continue
		}
		text := l.Ratio.text() + " " + l.Name
		if l.RatioOf == "p99" {
			text += ", p99 " + twoDigits(l.Latency.P99) + " ms"
		} else {
			text += ", " + grouped(l.MessageRate) + "/s"
		}
		ratios = append(ratios, text)
	}
	errors := 0
	for _, n := range f.Errors {
		errors += n
	}
	if errors > 0 {
		ratios = append(ratios, strconv.Itoa(errors)+" errors")
	}
	return strings.Join([]string{
		grouped(f.MessageRate), strconv.FormatFloat(f.ByteRate/1e6, 'f', 1, 64),
		twoDigits(f.Latency.P50), twoDigits(f.Latency.P99), strings.Join(ratios, "; "),
	}, " | ")
}

// grouped is a number with its thousands apart.
func grouped(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// writeBetween puts a table between the markers of a document.
func writeBetween(name, table string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, hasBegin := bytes.Cut(text, []byte(beginMarker+"\n"))
	_, after, hasEnd := bytes.Cut(rest, []byte(endMarker+"\n"))
	if !hasBegin || !hasEnd {
		return fmt.Errorf("%s has no lines %s and %s", name, beginMarker, endMarker)
	}
	written := string(before) + beginMarker + "\n\n" + table + "\n" + endMarker + "\n" + string(after)
	return os.WriteFile(name, []byte(written), 0o644)
}
