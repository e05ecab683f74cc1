//go:build faults

package fault_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/fault"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// until waits until the clock is about as wrong as it is told to be.
func until(t *testing.T, clock func() time.Time, want time.Duration) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if off := time.Until(clock()) - want; off.Abs() < time.Minute {
			return
		}
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatalf("the clock is never wrong by %s", want)
		}
	}
}

func TestClockFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	t.Setenv("TOPIQ_CLOCK_FILE", path)
	if err := fault.Check(); err != nil {
		t.Fatalf("a file that is not there yet: %v", err)
	}
	clock := fault.Clock()
	until(t, clock, 0)
	for text, offset := range map[string]time.Duration{"-1h\n": -time.Hour, "8760h": 365 * 24 * time.Hour, "0s": 0} {
		write(t, path, text)
		until(t, clock, offset)
	}
}

func TestNoClock(t *testing.T) {
	t.Setenv("TOPIQ_CLOCK_FILE", "")
	if fault.Clock() != nil {
		t.Error("there is a clock that nobody asked for")
	}
}

func TestWrongClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	t.Setenv("TOPIQ_CLOCK_FILE", path)
	write(t, path, "noon")
	if fault.Check() == nil {
		t.Error("a file without a duration is accepted at the start")
	}
}
