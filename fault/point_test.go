//go:build faults

package fault_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/fault"
)

const (
	point = "produce.before_commit"
	// child is set in the environment of a test binary that is to pass the point once and end.
	child = "TOPIQ_TEST_CHILD"
)

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		if err := fault.Point(point); err != nil {
			os.Exit(4)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestNoPlan(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", "")
	if err := errors.Join(fault.Check(), fault.Point(point)); err != nil {
		t.Error(err)
	}
}

func TestErrorAction(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", point+"=error,group.before_flush=error@0")
	if err := fault.Check(); err != nil {
		t.Fatal(err)
	}
	var failed *fault.Error
	if err := fault.Point(point); !errors.As(err, &failed) || failed.Point != point {
		t.Errorf("at the point: %v", err)
	}
	if err := errors.Join(fault.Point("produce.after_lock"), fault.Point("group.before_flush")); err != nil {
		t.Errorf("at points that are not to fail: %v", err)
	}
}

// TestEntriesInOrder: the sleep is over before the error is answered.
func TestEntriesInOrder(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", point+"=sleep:30ms,"+point+"=error")
	began := time.Now()
	if fault.Point(point) == nil {
		t.Error("the second entry did nothing")
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("it slept for %s", took)
	}
}

func TestProbability(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", point+"=error@0.5")
	failed := 0
	const passes = 10_000
	for range passes {
		if fault.Point(point) != nil {
			failed++
		}
	}
	if failed < passes*2/5 || failed > passes*3/5 { // 20 standard deviations
		t.Errorf("%d of %d passes failed at a probability of 0.5", failed, passes)
	}
}

// TestDeadlyActions are tried in a process of their own.
func TestDeadlyActions(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{
		"kill": "signal: killed", "panic": "exit status 2", "error": "exit status 4", "kill@0": "",
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), child+"=1", "TOPIQ_FAULTS="+point+"="+action)
		got := ""
		if err := cmd.Run(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: it ended with %q, not %q", action, got, want)
		}
	}
}

func TestWrongPlans(t *testing.T) {
	for _, plan := range []string{
		"nowhere=kill", point, point + "=", point + "=burn", point + "=sleep", point + "=sleep:-1s", point + "=sleep:soon",
		point + "=kill:9", point + "=error@", point + "=error@2", point + "=error@NaN", point + "=error@-0.1",
		point + "=error,", " " + point + "=error",
	} {
		t.Setenv("TOPIQ_FAULTS", plan)
		if err := fault.Check(); err == nil || !strings.Contains(err.Error(), "TOPIQ_FAULTS") {
			t.Errorf("%q: %v", plan, err)
		}
		mustPanic(t, plan, func() { _ = fault.Point(point) })
	}
	t.Setenv("TOPIQ_FAULTS", "")
	mustPanic(t, "a point that is not listed", func() { _ = fault.Point("nowhere") })
}

func mustPanic(t *testing.T, what string, do func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	do()
}
