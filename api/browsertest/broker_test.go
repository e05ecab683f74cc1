//go:build browser

package browsertest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// startBroker builds topiq, runs a broker on an empty store until the test
// ends, and returns its URL. flags are more of them.
func startBroker(t *testing.T, flags ...string) string {
	t.Helper()
	return serve(t, buildTopiq(t), flags...)
}

// buildTopiq builds topiq and returns where it is.
func buildTopiq(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "topiq")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "./cmd/topiq")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/topiq: %v\n%s", err, output)
	}
	return program
}

func serve(t *testing.T, program string, flags ...string) string {
	t.Helper()
	broker := exec.CommandContext(t.Context(), program,
		append([]string{"serve", "--addr=127.0.0.1:0", "--store=memory:", "--log-level=warn"}, flags...)...)
	// What the shell of a developer sets must not change what is tested.
	broker.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "TOPIQ_") })
	broker.Stderr = t.Output()
	stdout, err := broker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Wait() }) // The context has ended, which kills it.

	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker did not start: %v", err)
	}
	found := regexp.MustCompile(`listens on (http://[^\s;]+)`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("no address in %q", line)
	}
	return found[1]
}
