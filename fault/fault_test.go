package fault_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// TestOrdinaryBuildIsEmpty: without the tags nothing of the environment can be reached, and every
// call is inlined, so that the compiler sees a constant and removes what follows from it.
func TestOrdinaryBuildIsEmpty(t *testing.T) {
	t.Parallel()
	imports := strings.Fields(goCommand(t, "list", "-tags=", "-f", "{{join .Imports \"\\n\"}}", "."))
	if !slices.Equal(imports, []string{"time"}) {
		t.Errorf("an ordinary build imports %q, and needs time alone", imports)
	}
	if deps := strings.Fields(goCommand(t, "list", "-tags=", "-deps", ".")); slices.Contains(deps, "os") {
		t.Error("an ordinary build reaches os")
	}
	decisions := goCommand(t, "build", "-tags=", "-gcflags=-m", ".")
	for _, name := range []string{"Point", "Clock", "Mistake"} {
		if !strings.Contains(decisions, "can inline "+name+"\n") {
			t.Errorf("%s is not inlined: %s", name, decisions)
		}
	}
}
