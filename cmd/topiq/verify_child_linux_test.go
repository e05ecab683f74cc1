package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asParent is set in the environment of a test binary that is to start a child and wait.
const asParent = "TOPIQ_TEST_VERIFY_CHILD"

// TestVerifyChildEndsWithItsParent kills a process that has started a child. The child does not watch its
// input, as a broker does not: only the system can end it.
func TestVerifyChildEndsWithItsParent(t *testing.T) {
	t.Parallel()
	if program := os.Getenv(asParent); program != "" {
		c := &child{program: program, lost: unexpected(t)}
		if err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(os.Stderr, "started %d\n", c.life.cmd.Process.Pid)
		<-t.Context().Done()
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), executable, "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), asParent+"="+script(t, listening+"exec sleep 1000\n"))
	stderr, err := parent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(stderr, "started %d\n", &pid); err != nil || isGone(pid) {
		t.Fatalf("child %d: %v", pid, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(10 * time.Second); !isGone(pid); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("process %d has outlived its parent", pid)
		}
	}
}

// isGone reports whether a process has ended, though perhaps nobody has asked how yet.
func isGone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestVerifyBrokerThatEnds kills the broker of a run that was not to be killed.
func TestVerifyBrokerThatEnds(t *testing.T) {
	t.Parallel()
	p := start(t, append(slow(), "--store=memory:")...)
	untilThere(t, p, func() bool { return strings.Contains(p.stderr.String(), " begins ") })
	if err := syscall.Kill(childOf(t, p.cmd.Process.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	o, _ := verified(t, p)
	checkGivenUp(t, o, "the broker ended by itself: signal: killed")
}

// childOf is the child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended meanwhile
		for field := range strings.FieldsSeq(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				return child
			}
		}
	}
	t.Fatalf("process %d has no child", pid)
	return 0
}
