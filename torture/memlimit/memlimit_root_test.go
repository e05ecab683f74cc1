//go:build root

package memlimit_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/topiq/topiq/torture/memlimit"
)

func in(t *testing.T, g *memlimit.Group, line ...string) error {
	t.Helper()
	line = append(g.Prefix(), line...)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	t.Logf("%v: %.100s", err, out.String())
	return err
}

// Who needs more than the limit is killed, which is counted; who needs less is not.
func TestTheKernelKillsWhoNeedsMore(t *testing.T) {
	t.Parallel()
	g, err := memlimit.New(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}()
	// tail keeps a line without an end in memory.
	if err := in(t, g, "sh", "-c", "head -c 1000000 /dev/zero | tail >/dev/null"); err != nil {
		t.Errorf("a process that needs 1 MB: %v", err)
	}
	if n, err := g.Kills(); err != nil || n != 0 {
		t.Errorf("%d were killed, %v", n, err)
	}
	err = in(t, g, "tail", "/dev/zero")
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("a process that needs all memory: %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("a process that needs all memory ended with %v, want a kill", exit)
	}
	if n, err := g.Kills(); err != nil || n != 1 {
		t.Errorf("%d were killed, %v", n, err)
	}
	if prefix := strings.Join(g.Prefix(), " "); !strings.Contains(prefix, "topiq-torture-") {
		t.Errorf("the prefix names no group: %s", prefix)
	}
}
