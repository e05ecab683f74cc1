package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// notRun are the blocks of shell that TestDocumentedCommands does not run, and why. They are named by
// their document and first line.
func notRun() map[string]string {
	return map[string]string{
		"docs/operations.md: bin/topiq tokens create --store=sqlite:topiq.db --name=operator --scope=admin >operator.token":            "TestTokensAndTLS does it: it needs certificates",
		"docs/operations.md: bin/topiq tokens create --name=shop --scope=produce:orders.* --scope=consume:* --expires=90d >shop.token": "TestTokensAndTLS does it: it needs a broker of its own",
		"docs/operations.md: bin/topiq topics list --url=https://log.example.com:8443 --ca-file=ca.pem --token-file=shop.token":        "TestTokensAndTLS does it: it needs certificates",
		`docs/operations.md: docker build --build-arg VERSION="$(git describe --tags --always --dirty)" -t topiq .`:                    "the document says that there was no Docker daemon",
		"docs/operations.md: docker compose up --build --wait":                                                                         "the document says that there was no Docker daemon",
		"client/typescript/README.md: npm install --save-exact openapi-fetch@0.17.0":                                                   "TestDocumentedTypeScript runs it, in make test-clients",
		"docs/clients.md: npm install --no-save @openapitools/openapi-generator-cli@1.0.18-5.0.0-beta2":                                "run by hand, as the document says: it needs Java and a network",
	}
}

// offline are the blocks that are run when the broker that `make run` has started has ended.
func offline() []string {
	return []string{
		"docs/operations.md: nohup bin/topiq serve >topiq.out 2>topiq.log & echo $! >topiq.pid",
		`docs/operations.md: kill "$(cat topiq.pid)"`,
		"docs/operations.md: cp topiq.db topiq-backup.db",
		"docs/operations.md: bin/topiq store check --store=sqlite:topiq-backup.db",
	}
}

// exampleStores are the stores and addresses in documents that stand for those of the reader, and what they
// are here.
func exampleStores(t *testing.T) *strings.Replacer {
	t.Helper()
	return strings.NewReplacer(
		"postgres://topiq@db.example.com/topiq", pgtest.URL(t),
		"sqlite:/var/lib/topiq/topiq.db", "sqlite:"+filepath.Join(t.TempDir(), "topiq", "topiq.db"),
		":8080", ":0",
	)
}

// TestDocumentedCommands runs the commands in the documents as their reader would: in a fresh checkout,
// beginning with make run.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "make", "curl", "grep", "cut", "seq", "nohup"} {
		needs(t, program)
	}
	sessions, makes, serves, later := sortedBlocks(t)
	c := newCheckout(t)
	for _, b := range makes {
		c.make(t, b)
	}
	for _, b := range serves {
		servesAsDocumented(t, b)
	}
	stop := c.run(t)
	for _, d := range documents(t) {
		c.session(t, d, func(b *block) bool { return slices.Contains(sessions, b.first()) })
	}
	for _, b := range blocksOf(t, "go") {
		c.goProgram(t, b)
	}
	stop()
	for _, d := range documents(t) {
		c.session(t, d, func(b *block) bool { return slices.Contains(later, b.first()) })
	}
}

// sortedBlocks says which of the tests below each block of shell is for. Each is for one.
func sortedBlocks(t *testing.T) (sessions []string, makes, serves []block, later []string) {
	t.Helper()
	var all []string
	for _, b := range blocksOf(t, "sh") {
		all = append(all, b.first())
		switch why, not := notRun()[b.first()]; {
		case not:
			t.Logf("%s:%d is not run here: %s", b.document, b.line, why)
		case slices.Contains(offline(), b.first()):
			later = append(later, b.first())
		case b.each("make "):
			makes = append(makes, b)
		case b.each("bin/topiq serve "):
			serves = append(serves, b)
		default:
			sessions = append(sessions, b.first())
		}
	}
	for first := range notRun() {
		if !slices.Contains(all, first) {
			t.Errorf("no document has the block %q any more", first)
		}
	}
	for _, first := range offline() {
		if !slices.Contains(all, first) {
			t.Errorf("no document has the block %q any more", first)
		}
	}
	return sessions, makes, serves, later
}

// each reports whether each line of a block begins with a command.
func (b *block) each(command string) bool {
	for line := range strings.Lines(b.text) {
		if !strings.HasPrefix(line, command) {
			return false
		}
	}
	return true
}

// checkout is a copy of the sources, with nothing that was built.
type checkout struct {
	dir string
	url string // of the broker, while one runs
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	c := &checkout{dir: filepath.Join(t.TempDir(), "topiq")}
	err := filepath.WalkDir(docsRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(docsRoot, name)
		if err != nil {
			return err
		}
		to := filepath.Join(c.dir, relative)
		switch {
		case entry.IsDir() && slices.Contains([]string{".git", "node_modules", "bin", "dist"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(to, 0o755)
		case !entry.Type().IsRegular() || strings.Contains(entry.Name(), ".db"):
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// command is one that a reader runs, in a group of processes that ends with the test.
func (c *checkout) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	for _, entry := range os.Environ() {
		// make must not take itself for a part of the make that runs this test.
		if name, _, _ := strings.Cut(entry, "="); !slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}, name) {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// make checks the targets of a block. They are not run from here: they would run this test. `make run`
// is, by run.
func (c *checkout) make(t *testing.T, b block) {
	t.Helper()
	for line := range strings.Lines(b.text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if targets := makeTargets(t); len(fields) != 2 || !targets[fields[1]] {
			t.Errorf("%s:%d: not one target of the Makefile: %q", b.document, b.line, line)
			continue
		}
		if output, err := c.command(t, "make", "-n", fields[1]).CombinedOutput(); err != nil {
			t.Errorf("%s:%d: make -n %s: %v\n%s", b.document, b.line, fields[1], err, output)
		}
	}
}

// run runs `make run` until stop. The address is set in the environment: it is a free one.
func (c *checkout) run(t *testing.T) (stop func()) {
	t.Helper()
	// The shell ends everything when its input ends, which it does with this test, however that ends.
	cmd := c.command(t, "bash", "-c", "trap : TERM; make run & cat >/dev/null; kill 0; wait")
	cmd.Env = append(cmd.Env, "TOPIQ_ADDR=127.0.0.1:0")
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	for c.url == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("make run: %v\n%s", err, stderr.String())
		}
		if strings.Contains(line, "listens on") {
			c.url = listensOn(t, line)
		}
	}
	return func() {
		t.Helper()
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait() // make tells of the signal
		if !strings.Contains(stderr.String(), "msg=stopped") {
			t.Errorf("the broker of make run did not end as asked:\n%s", stderr.String())
		}
	}
}

// here is a text with the port of the broker that serves here.
func (c *checkout) here(text string) string {
	return strings.ReplaceAll(text, ":8080", c.url[strings.LastIndex(c.url, ":"):])
}

// session runs those blocks of a document that are chosen, in order, in one shell.
func (c *checkout) session(t *testing.T, d document, chosen func(*block) bool) {
	t.Helper()
	const mark = "-- the end of a block --"
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	var expected []string
	for i := range d.blocks {
		if b := &d.blocks[i]; b.language == "sh" && chosen(b) {
			script.WriteString(c.here(b.text) + "printf '\\n%s\\n' '" + mark + "'\n")
			expected = append(expected, d.expected(i))
		}
	}
	if len(expected) == 0 {
		return
	}
	cmd := c.command(t, "bash", "-c", script.String())
	cmd.Env = append(cmd.Env, "TOPIQ_URL="+c.url, "TOPIQ_ADDR="+strings.TrimPrefix(c.url, "http://"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }() // what is left in the background
	outputs := strings.Split(stdout.String(), mark)
	if err != nil || len(outputs) != len(expected)+1 {
		t.Errorf("%s: block %d of %d: %v; wrote\n%s%s", d.path, len(outputs), len(expected), err, stdout.String(), stderr.String())
		return
	}
	for i, want := range expected {
		compareOutput(t, d.path, outputs[i], want)
	}
}

// expected is what the document says that block i writes, "" if it does not say.
func (d *document) expected(i int) string {
	if i+1 < len(d.blocks) && d.blocks[i+1].language == "text" {
		return d.blocks[i+1].text
	}
	return ""
}

// compareOutput compares what was written with what a document shows, where … stands for anything.
func compareOutput(t *testing.T, where, got, want string) {
	t.Helper()
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
	if want != "" && !regexp.MustCompile("^"+pattern+"$").MatchString(strings.TrimSpace(got)) {
		t.Errorf("%s shows the output\n%s\nbut it was\n%s", where, want, got)
	}
}

// goProgram runs a program in a document as a package of the checkout.
func (c *checkout) goProgram(t *testing.T, b block) {
	t.Helper()
	name := fmt.Sprintf("documented_%d", b.line)
	if err := os.MkdirAll(filepath.Join(c.dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(c.dir, name, "main.go"), c.here(b.text))
	if unformatted, err := c.command(t, "gofmt", "-l", name).CombinedOutput(); err != nil || len(unformatted) > 0 {
		t.Errorf("%s:%d: gofmt: %v %s", b.document, b.line, err, unformatted)
	}
	cmd := c.command(t, "go", "run", "-trimpath", "./"+name)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s:%d: %v\n%s", b.document, b.line, err, output)
		return
	}
	d := readDocument(t, filepath.Join(docsRoot, filepath.FromSlash(b.document)))
	i := slices.IndexFunc(d.blocks, func(other block) bool { return other.line == b.line })
	compareOutput(t, b.document, string(output), d.expected(i))
}

// servesAsDocumented starts each broker of a block, asks whether it is ready, and stops it.
func servesAsDocumented(t *testing.T, b block) {
	t.Helper()
	replaced := exampleStores(t)
	for line := range strings.Lines(b.text) {
		args := append([]string{"--addr=127.0.0.1:0"}, strings.Fields(replaced.Replace(line))[2:]...)
		broker := serveHere(t, args...)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, broker.url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%s: %s: %v", b.document, line, err)
		}
		_ = response.Body.Close()
		if code := broker.stop(); code != exitOK || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: ready %d, exit code %d:\n%s", b.document, line, response.StatusCode, code, broker.stderr)
		}
	}
}
