package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// garbageBytes is how much garbage there may be, at least, before it is collected. Left alone, the runtime collects
	// whenever there is as much of it as there is memory in use, which in a broker with little to keep is some 4 MB.
	garbageBytes = 64 << 20
	// leastPercent is the runtime's own measure: where garbageBytes or more is in use nothing changes.
	leastPercent = 100
	// mostPercent is what the measure begins with.
	mostPercent = 1600
)

// collectSeldom makes the collector of garbage wait for garbageBytes, for as long as the process lives. It leaves alone what
// GOGC says. It does this once in a process.
func collectSeldom() { setCollector() }

//nolint:gochecknoglobals // there is one collector
var setCollector = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent)
		afterCollection(mostPercent)
	}
})

// afterCollection sets the measure anew after each time that garbage was collected, by what was found to be in use: what
// is set is also the measure for what comes then, however much that is.
func afterCollection(set int) {
	type sentinel struct{ _ *byte }
	runtime.AddCleanup(&sentinel{}, func(set int) {
		used := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
		metrics.Read(used)
		sum := uint64(0)
		for i := range used {
			sum += used[i].Value.Uint64()
		}
		if percent := percentFor(sum); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		afterCollection(set)
	}, set)
}

// percentFor is how much garbage there may be where so much is in use, in percent of that. It comes in steps of a quarter, for
// each change stops the process for a moment.
func percentFor(used uint64) int {
	percent := garbageBytes * leastPercent / max(used, 1) / 25 * 25
	return int(min(max(percent, leastPercent), mostPercent))
}
