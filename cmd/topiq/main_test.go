package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"topiq":           {"--help"},
		"serve":           {"serve", "--help"},
		"topics":          {"topics", "--help"},
		"topics-list":     {"topics", "list", "--help"},
		"topics-create":   {"topics", "create", "--help"},
		"topics-describe": {"topics", "describe", "--help"},
		"topics-delete":   {"topics", "delete", "--help"},
		"topics-set":      {"topics", "set", "--help"},
		"produce":         {"produce", "--help"},
		"consume":         {"consume", "--help"},
		"export":          {"export", "--help"},
		"import":          {"import", "--help"},
		"consumers":       {"consumers", "--help"},
		"producers":       {"help", "producers"},
		"seek":            {"seek", "--help"},
		"completion":      {"completion", "--help"},
		"help":            {"help", "--help"},
		"version":         {"version", "--help"},
		"health":          {"health", "--help"},
		"licenses":        {"licenses", "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			help := mustTopiq(t, "", args...)
			golden(t, "help-"+name+".txt", help)
			// Each flag but the two that every command has can be set in the environment too.
			for _, line := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(help, -1) {
				env := "$TOPIQ_" + strings.ToUpper(strings.ReplaceAll(line[1], "-", "_")) + ")"
				if flag := line[1]; flag != "help" && flag != "version" && !strings.Contains(help, env) {
					t.Errorf("--%s does not tell of %s", flag, env)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		if got := mustTopiq(t, "", arg); got != "topiq dev\n" {
			t.Errorf("topiq %s: %q", arg, got)
		}
	}
}

// TestUsage checks that a command line that cannot be executed ends with 2 and one line which says why.
func TestUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`expected one of "serve"`:                               {},
		"unexpected argument bogus":                             {"bogus"},
		"unknown flag --bogus":                                  {"serve", "--bogus"},
		`expected "<topic>"`:                                    {"produce"},
		"--batch must be at least 1":                            {"produce", "t", "--batch=0"},
		"--limit must not be negative":                          {"consume", "t", "--limit=-1"},
		`--from: want beginning, end, an offset, a time`:        {"consume", "t", "--from=middle"},
		"or an age such as -1h, but got \"1h\"":                 {"consume", "t", "--from", "1h"},
		"--from: a place in the topic is missing":               {"consume", "t", "--from"},
		"--resume goes on with what is stored under a --name":   {"produce", "t", "--resume"},
		"missing flags: --to=PLACE":                             {"seek", "t", "--name=c"},
		"seek: want either --name or --id":                      {"seek", "t", "--to=end"},
		"want either --name or --id (":                          {"seek", "t", "--to=end", "--name=c", "--id=1"},
		`<shell> must be one of "bash","zsh","fish"`:            {"completion", "ksh"},
		`expected "<shell>"`:                                    {"completion"},
		"unexpected argument bogus (topiq":                      {"help", "bogus"},
		`--log-format must be one of "text","json"`:             {"serve", "--log-format=xml"},
		"--log-level":                                           {"serve", "--log-level=loud"},
		`--addr "8080" is not HOST:PORT`:                        {"serve", "--addr=8080"},
		"--shutdown-timeout must not be negative":               {"serve", "--shutdown-timeout=-1s"},
		"--max-conns must not be negative":                      {"serve", "--max-conns=-1"},
		"--lanes must not be negative":                          {"serve", "--lanes=-1"},
		"--json-depth must be at least 1":                       {"serve", "--json-depth=0"},
		"--connections must not be negative":                    {"serve", "--connections=-1"},
		"--message-bytes must not be more than --request-bytes": {"serve", "--message-bytes=9MiB"},
		"--limit-default must not be more than --limit-max":     {"serve", "--limit-max=99"},
		"--answer-bytes-default must not be more than":          {"serve", "--answer-bytes-max=1MiB"},
		"--request-bytes must not be more than --queue-bytes":   {"serve", "--queue-bytes=1MiB"},
		`"8MB" is not a number of bytes: write 8388608 or 8MiB`: {"serve", "--request-bytes=8MB"},
		`does not begin with http:// or https://`:               {"topics", "list", "--url=localhost:8080"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := topiq(t, "", args...)
			if o.code != exitUsage || !strings.Contains(o.stderr, want) || o.stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", o.code, o.stdout, o.stderr, exitUsage, want)
			}
			checkOneLine(t, o)
		})
	}
}

func checkOneLine(t *testing.T, o outcome) {
	t.Helper()
	if !strings.HasPrefix(o.stderr, "topiq: ") || strings.Count(o.stderr, "\n") != 1 || strings.Contains(o.stderr, ": topiq:") {
		t.Errorf("not one line of an error: %q", o.stderr)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	if o := topiq(t, "", "topics", "create", "there", "--url="+b.url); o.code != exitOK {
		t.Fatal(o)
	}
	for want, args := range map[string][]string{
		"topic_not_found":              {"topics", "describe", "missing"},
		"delete topic":                 {"topics", "delete", "missing"},
		"topic_exists":                 {"topics", "create", "there"},
		"consume":                      {"consume", "missing"},
		"offset_out_of_range":          {"consume", "there", "--from=1"},
		`"a/b" has characters`:         {"produce", "a/b"},
		"no such file or directory":    {"produce", "there", filepath.Join(t.TempDir(), "missing")},
		"is a directory":               {"produce", "there", t.TempDir()},
		"invalid_request: cons_name":   {"consume", "there", "--name=a b"},
		"invalid_request: prod_name":   {"produce", "there", "--name=a b"},
		"list consumers: topic_not":    {"consumers", "missing"},
		"list producers: topic_not":    {"producers", "missing", "--json"},
		"consumer state: topic_not":    {"seek", "missing", "--name=c", "--to=end"},
		"consumer_not_found":           {"seek", "there", "--name=nobody", "--to=end"},
		"set offset: consumer_not":     {"seek", "there", "--id=1", "--to=beginning"},
		"connection refused":           {"topics", "list", "--url=http://127.0.0.1:1"},
		"not_found: there is nothing ": {"topics", "list", "--url=" + b.url + "/base"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(strings.Join(args, " "), "--url") {
				args = append(args, "--url="+b.url)
			}
			o := topiq(t, "", args...)
			if want == "consume" {
				want = "topic_not_found"
			}
			if o.code != exitFailure || !strings.Contains(o.stderr, want) {
				t.Errorf("exit code %d, stderr %q; want %d and %q", o.code, o.stderr, exitFailure, want)
			}
		})
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	for _, name := range []string{"orders", "orders.eu", "invoices"} {
		mustTopiq(t, "", "topics", "create", name, url)
	}
	mustTopiq(t, "one\ntwo\n", "produce", "orders", "--name=p", url)
	if got := mustTopiq(t, "", "topics", "list", url); got != "invoices\norders\norders.eu\n" {
		t.Errorf("list: %q", got)
	}
	if got := mustTopiq(t, "", "topics", "list", "--prefix=orders", url); got != "orders\norders.eu\n" {
		t.Errorf("list by prefix: %q", got)
	}
	described := mustTopiq(t, "", "topics", "describe", "orders", url)
	described = regexp.MustCompile(`(?m)^(created_at +)\S+$`).ReplaceAllString(described, "${1}TIME")
	described = regexp.MustCompile(`(?m)^(incarnation +)\S+$`).ReplaceAllString(described, "${1}INCARNATION")
	golden(t, "topics-describe.txt", described)
	mustTopiq(t, "", "topics", "delete", "orders", url)
	if got := mustTopiq(t, "", "topics", "list", url); got != "invoices\norders.eu\n" {
		t.Errorf("list after delete: %q", got)
	}
}

// TestEnvironment checks that a flag may be given in the environment, and that the command line wins.
func TestEnvironment(t *testing.T) {
	b := serveHere(t, "--store=memory:")
	t.Setenv("TOPIQ_URL", b.url)
	t.Setenv("TOPIQ_PREFIX", "a")
	mustTopiq(t, "", "topics", "create", "ab")
	mustTopiq(t, "", "topics", "create", "b")
	if got := mustTopiq(t, "", "topics", "list"); got != "ab\n" {
		t.Errorf("with TOPIQ_PREFIX=a: %q", got)
	}
	if got := mustTopiq(t, "", "topics", "list", "--prefix=b"); got != "b\n" {
		t.Errorf("with TOPIQ_PREFIX=a and --prefix=b: %q", got)
	}
}

// TestClosedOutput checks that a command whose reader has stopped ends quietly, while one that cannot
// write for another reason says so.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, strings.Repeat("line\n", 10), "produce", "t", "--name=p", url)
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"a pipe":       {&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, exitOK},
		"io.Pipe":      {io.ErrClosedPipe, exitOK},
		"a full disk":  {syscall.ENOSPC, exitFailure},
		"another kind": {errors.New("no"), exitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{
				{"consume", "t", url},
				{"consume", "t", "--json", url},
				{"consume", "t", "--name=c", url},
				{"topics", "list", url},
				{"topics", "describe", "t", url},
				{"consumers", "t", url},
				{"producers", "t", url},
				{"version"},
				{"--help"},
				{"help"},
				{"help", "seek"},
				{"completion", "bash"},
			} {
				var stderr lockedBuffer
				code := run(t.Context(), args, strings.NewReader(""), failingWriter{test.err}, &stderr)
				if code != test.code || (code == exitOK) != (stderr.String() == "") {
					t.Errorf("%q: exit code %d, want %d; stderr %q", args, code, test.code, stderr.String())
				}
			}
		})
	}
}

// failingWriter is an output that cannot be written to.
type failingWriter struct{ err error }

// Write implements io.Writer.
func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
