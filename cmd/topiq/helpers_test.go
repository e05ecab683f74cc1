package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// asCommand is set in the environment of a test binary that is to be the command itself, so that
// tests can kill it.
const asCommand = "TOPIQ_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "__empty") {
			go func() {
				// The other end is held by the test, so this ends when the test has, however.
				_, _ = io.Copy(io.Discard, os.Stdin)
				os.Exit(3)
			}()
		}
		main()
	}
	if os.Getenv(asEffects) != "" {
		runEffects()
	}
	// What the shell of a developer sets must not change what is tested.
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if name == "COLUMNS" || name == "NO_COLOR" || name == "TERM" || strings.HasPrefix(name, "TOPIQ_") && !strings.HasPrefix(name, "TOPIQ_TEST_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(pgtest.Main(m))
}

// outcome is what a command line came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// topiq runs one command line in this process.
func topiq(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// mustTopiq is topiq for a command line that must succeed. It returns what was written.
func mustTopiq(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	o := topiq(t, stdin, args...)
	if o.code != exitOK {
		t.Fatalf("topiq %s: exit code %d: %s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o.stdout
}

// lockedBuffer can be read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// String returns what has been written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// process is the command in a process of its own.
type process struct {
	cmd    *exec.Cmd
	stderr lockedBuffer
	stdin  io.WriteCloser
	stdout *bufio.Reader
	ended  chan struct{} // closed when it has
	err    error         // then: how
}

// start starts a command line in a process, which ends with the test if not before.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startAs(t, asCommand, args...)
}

// startAs starts this test binary as what the variable says, see TestMain.
func startAs(t *testing.T, variable string, args ...string) *process {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), executable, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), variable+"=1")
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe, which Wait closes even if nobody has read to its end.
	stdout, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.stdout = writer, bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		_ = stdout.Close()
	})
	return p
}

// kill ends the process as a power cut would, as far as the process is concerned.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to end.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// wait waits for the end of the process and returns its exit code, −1 for a signal.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("still running; stderr:\n%s", p.stderr.String())
		return 0
	}
}

// serving is a broker in a process, and where it is.
type serving struct {
	*process
	url string
}

// serve starts a broker in a process, on a free port unless args say more, and waits until it is there.
func serve(t *testing.T, storeURL string, args ...string) serving {
	t.Helper()
	p := start(t, append([]string{"serve", "--addr=127.0.0.1:0", "--store=" + storeURL}, args...)...)
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the broker did not start: %v; stderr:\n%s", err, p.stderr.String())
	}
	return serving{p, listensOn(t, line)}
}

// again starts a killed broker on its old port.
func (b serving) again(t *testing.T, storeURL string) serving {
	t.Helper()
	return serve(t, storeURL, "--addr="+strings.TrimPrefix(b.url, "http://"))
}

func listensOn(t *testing.T, line string) string {
	t.Helper()
	found := regexp.MustCompile(`listens on (https?://\S+)`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("no address in %q", line)
	}
	return found[1]
}

// inProcess is a broker in this process.
type inProcess struct {
	url, line string
	stderr    *lockedBuffer
	// stop asks the broker to end, as a first SIGTERM does, and returns its exit code.
	stop func() int
}

// serveHere runs `topiq serve` in this process until the test ends.
func serveHere(t *testing.T, args ...string) inProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, writer := io.Pipe()
	code, stderr := make(chan int, 1), &lockedBuffer{}
	go func() {
		code <- run(ctx, append([]string{"serve", "--addr=127.0.0.1:0"}, args...), strings.NewReader(""), writer, stderr)
		_ = writer.Close()
	}()
	stop := sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { stop() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker did not start: exit code %d; stderr:\n%s", stop(), stderr)
	}
	return inProcess{url: listensOn(t, line), line: line, stderr: stderr, stop: stop}
}

// golden compares text with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, got)
	}
}
