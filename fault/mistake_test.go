//go:build badideas

package fault_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/topiq/topiq/fault"
)

func TestMistake(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "no_dedupe,notify_only")
	if err := fault.Check(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"no_dedupe": true, "notify_only": true, "epoch_not_checked": false} {
		if got := fault.Mistake(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !slices.Contains(fault.Unsafe(), "built with badideas") {
		t.Errorf("the build does not say what it is: %q", fault.Unsafe())
	}
}

func TestWrongMistake(t *testing.T) {
	for _, names := range []string{"no_such", "no_dedupe,", "no_dedupe,no_such"} {
		t.Setenv("TOPIQ_MISTAKE", names)
		if err := fault.Check(); err == nil || !strings.Contains(err.Error(), "TOPIQ_MISTAKE") {
			t.Errorf("%q: %v", names, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a mistake that is not listed can be asked for")
		}
	}()
	fault.Mistake("no_such")
}
