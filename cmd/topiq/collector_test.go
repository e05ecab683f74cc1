package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	t.Parallel()
	for used, want := range map[uint64]int{
		0: 1600, 1 << 20: 1600, 4 << 20: 1600, 10 << 20: 625, 16 << 20: 400, 20 << 20: 300, 63 << 20: 100, 64 << 20: 100, 1 << 40: 100,
	} {
		if got := percentFor(used); got != want {
			t.Errorf("with %d bytes in use there may be %d %%, want %d %%", used, got, want)
		}
	}
}

// TestCollectSeldom holds on to memory, after which the measure is the runtime's own again, and lets it go.
func TestCollectSeldom(t *testing.T) {
	t.Setenv("GOGC", "") // and so not in parallel with others
	collectSeldom()
	measure := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	held := make([]byte, 4*garbageBytes)
	for _, want := range []func(percent uint64) bool{
		func(percent uint64) bool { return percent == leastPercent },
		func(percent uint64) bool { return percent > leastPercent },
	} {
		for deadline := time.Now().Add(time.Minute); ; {
			runtime.GC()
			percent := measure()
			if want(percent) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("with %d bytes held the measure stays at %d %%", len(held), percent)
			}
			<-time.After(time.Millisecond)
		}
		runtime.KeepAlive(held)
		held = nil
	}
}
