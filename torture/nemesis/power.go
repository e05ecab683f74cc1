package nemesis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/topiq/topiq/torture/disk"
	"github.com/topiq/topiq/torture/server"
)

// haltLimit is how long processes may take to stand still.
const haltLimit = 5 * time.Second

// cutPower takes the power away while a request is under way, from the disk and from the processes that
// write to it: whoever is without power answers nobody.
//
// The processes must stand still first. The system call that shuts a file system down is no cut of its
// own: a sync that is under way when it comes may find its transaction thrown away already, nothing left
// to wait for, and return success (seen on ext4 and on XFS). A
// process that goes on would acknowledge on the strength of it what is not on the disk. No machine that
// loses its power does that. What was answered before it stood still was synced before the cut.
func (r *Round) cutPower(ctx context.Context, d *disk.Disk, pids func() []int) error {
	r.FaultSoon()
	if err := halt(ctx, pids); err != nil {
		return err
	}
	return d.Cut()
}

// halt stops processes, also those that are forked meanwhile, and waits until none of their threads runs.
// One that waits for the disk stops when it comes back from there.
func halt(ctx context.Context, pids func() []int) error {
	var stopped []int
	ok, err := until(ctx, haltLimit, func() bool {
		all := pids()
		for _, pid := range all {
			if !slices.Contains(stopped, pid) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				stopped = append(stopped, pid)
			}
		}
		return !slices.ContainsFunc(all, runs)
	})
	if err == nil && !ok {
		err = fmt.Errorf("the processes %v do not stand still", stopped)
	}
	return err
}

// runs says whether a thread of a process may still do something.
func runs(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return true
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		// The state follows the name, which is in parentheses and may hold anything.
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if state, _, _ := strings.Cut(rest, " "); !slices.Contains([]string{"T", "t", "D", "Z", "X"}, state) {
			return true
		}
	}
	return false
}

// pidsOf is the process of a broker.
func pidsOf(b *server.Broker) func() []int { return func() []int { return []int{b.Pid()} } }
