package service_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// A panic in the middle of a commit leaves a state that nobody knows: the process must end, not
// answer the next request.
func TestPanicInTheCommitterStopsTheProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("TOPIQ_TEST_PANIC") != "" {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		store.append = func(int, func() (service.AppendPlan, error)) (service.AppendPlan, error) { panic("in the commit") }
		_ = f.try("x")
		t.Log("survived")
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicInTheCommitterStopsTheProcess$", "-test.v")
	child.Env = append(os.Environ(), "TOPIQ_TEST_PANIC=1")
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("the process ended with %v, want exit code 2", err)
	}
	if !strings.Contains(string(out), "panic: in the commit") || strings.Contains(string(out), "survived") {
		t.Errorf("it printed %s", out)
	}
}
