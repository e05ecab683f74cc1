package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// screen is an output that somebody looks at.
type screen struct{ bytes.Buffer }

// IsTerminal reports that it is one.
func (*screen) IsTerminal() bool { return true }

// onScreen runs a command line on a terminal, and returns what it showed on each stream.
func onScreen(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, failures screen
	code = run(t.Context(), args, strings.NewReader(""), &out, &failures)
	return code, out.String(), failures.String()
}

// TestColours checks that there are colours on a terminal and nowhere else, and that they can be
// turned off.
func TestColours(t *testing.T) {
	t.Setenv("TERM", "xterm")
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, "a\n", "produce", "t", url)
	for _, args := range [][]string{
		{"topics", "describe", "t", url},
		{"consumers", "t", url},
		{"producers", "t", url},
		{"help"},
		{"topics", "describe", "missing", url},
		{"bogus"},
	} {
		check := func(when string, want bool) {
			t.Helper()
			_, stdout, stderr := onScreen(t, args...)
			if got := strings.Contains(stdout+stderr, "\x1b["); got != want {
				t.Errorf("%s: %q has colours: %t\n%s%s", when, args, got, stdout, stderr)
			}
		}
		check("on a terminal", true)
		t.Setenv("NO_COLOR", "1")
		check("with NO_COLOR", false)
		t.Setenv("NO_COLOR", "")
		check("with an empty NO_COLOR", true)
		t.Setenv("TERM", "dumb")
		check("on a dumb terminal", false)
		t.Setenv("TERM", "xterm")
		if o := topiq(t, "", args...); strings.Contains(o.stdout+o.stderr, "\x1b") {
			t.Errorf("elsewhere: %q has colours: %s%s", args, o.stdout, o.stderr)
		}
	}
	// What is written for a program to read has none.
	for _, args := range [][]string{{"consume", "t", "--json", url}, {"producers", "t", "--json", url}, {"topics", "list", url}} {
		if _, stdout, _ := onScreen(t, args...); strings.Contains(stdout, "\x1b") {
			t.Errorf("%q: %q", args, stdout)
		}
	}
}

// TestColouredOutputReadsTheSame checks that a colour changes no letter and no column.
func TestColouredOutputReadsTheSame(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, "a\n", "produce", "t", "--name=p", url)
	mustTopiq(t, "", "consume", "t", "--name=c", url)
	for _, args := range [][]string{{"topics", "describe", "t", url}, {"consumers", "t", url}, {"producers", "t", url}, {"help"}} {
		_, stdout, _ := onScreen(t, args...)
		plain := strings.NewReplacer(bold, "", plainAgain, "").Replace(stdout)
		if want := mustTopiq(t, "", args...); plain != want {
			t.Errorf("%q:\n%s\nwant\n%s", args, plain, want)
		}
	}
}

// TestProgress checks that a file shows its progress on a terminal, and that nothing of it is left
// before the report.
func TestProgress(t *testing.T) {
	url := "--url=" + serveHere(t, "--store=memory:").url
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, strings.Repeat("a line of the file\n", 5000)+"the last one")
	for _, test := range []struct {
		args  []string
		shown bool
	}{
		{[]string{"produce", "t", path, "--name=p"}, true},
		{[]string{"produce", "t", path, "--name=p"}, true}, // all is skipped
		{[]string{"produce", "t", os.DevNull}, false},
		{[]string{"produce", "t"}, false},
	} {
		code, _, stderr := onScreen(t, append(test.args, url)...)
		bar, report, _ := strings.Cut(stderr, "stored ")
		if code != exitOK || strings.Contains(bar, "%") != test.shown || test.shown && !strings.HasSuffix(bar, "\r") ||
			strings.Contains(report, "%") {
			t.Errorf("%q: exit code %d, %q", test.args, code, stderr)
		}
	}
	if o := topiq(t, "", "produce", "u", path, url); o.stderr != "stored 5001 messages in u at offsets 0 to 5000\n" {
		t.Errorf("no terminal: %q", o.stderr)
	}
	t.Setenv("TERM", "dumb")
	if _, _, stderr := onScreen(t, "produce", "u", path, url); strings.Contains(stderr, "%") {
		t.Errorf("a dumb terminal: %q", stderr)
	}
}
