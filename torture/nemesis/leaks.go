package nemesis

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/server"
)

const (
	// leakShare is how much more of everything but memory a broker may hold after the load than before it (I20).
	leakShare = 1.05
	// leakLanes are the goroutines of lanes, which live on when they were used once: four that store, four that
	// dequeue, four that read heads and four that read consumers.
	leakLanes = 16
	// sqliteFiles are the descriptors of a connection to a SQLite file: that, its log and the index of the log.
	sqliteFiles = 3
	// leakMemory is what the runtime of Go may keep of a heap that was large, on top of a fifth more than before.
	leakMemory = 128 << 20
	// leakPatience is how long after the load everything must be back.
	leakPatience = 60 * time.Second
)

// held is what a broker holds, without what it is meant to keep: the connections of its pools and those of
// clients, which each are a descriptor.
type held struct {
	files, goroutines int // goroutines 0 if it does not tell
	rss, peak         int64
}

func heldBy(ctx context.Context, b *server.Broker) (held, error) {
	u, err := server.UsageOf(b.Pid())
	if err != nil {
		return held{}, err
	}
	told := b.Metrics(ctx)
	return held{
		files:      u.Files - int(told["topiq_pool_connections"]+told["topiq_connections"]),
		goroutines: int(told["go_goroutines"]), rss: u.RSS, peak: u.Peak,
	}, nil
}

// within says whether no more is held than before, but for what I20 grants, and for the files of the connections that
// read SQLite's, one for each processor at most.
func (h held) within(before held, engine string, spare int64) bool {
	most := func(n int) int { return int(math.Ceil(leakShare * float64(n))) }
	files := most(before.files)
	if engine == SQLite {
		files += runtime.NumCPU() * sqliteFiles
	}
	return h.files <= files && h.rss <= before.rss*6/5+leakMemory+spare &&
		(before.goroutines == 0 || h.goroutines <= most(before.goroutines)+leakLanes)
}

// measureBaseline notes what those brokers hold that were started last, before anybody uses them.
func (r *Round) measureBaseline(ctx context.Context) {
	for _, b := range r.brokers[len(r.baseline):] {
		h, _ := heldBy(ctx, b)
		r.baseline = append(r.baseline, h)
	}
}

// leaks waits until every broker holds what it held before the load (I20), and reports it if that does not
// come true within a minute; likewise for the sessions and locks of the databases.
func (r *Round) leaks(ctx context.Context, spare int64) {
	deadline := time.Now().Add(leakPatience)
	for i, b := range r.brokers {
		for b.Running() && i < len(r.baseline) && r.baseline[i].rss > 0 {
			before := r.baseline[i]
			h, err := heldBy(ctx, b)
			if err != nil {
				return
			}
			r.Result.Extra["rss_mib"] = max(r.Result.Extra["rss_mib"], float64(h.peak>>20))
			r.Result.Extra["goroutines"] = float64(h.goroutines)
			if h.within(before, r.Engine, spare) {
				break
			}
			if time.Now().After(deadline) {
				r.violation("I20: broker %d holds %d descriptors beside its connections, %d MiB and %d goroutines a minute after the load, and held %d, %d MiB and %d before",
					i, h.files, h.rss>>20, h.goroutines, before.files, before.rss>>20, before.goroutines)
				break
			}
			if server.Pause(ctx, 100*time.Millisecond) != nil {
				return
			}
		}
	}
	for _, p := range r.postgres {
		if !p.Running() {
			continue
		}
		if err := check.Sessions(ctx, p.URL(Database), deadline); err != nil {
			r.violation("I20: %v", err)
		}
	}
}
