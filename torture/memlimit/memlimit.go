// Package memlimit runs processes in a control group whose memory is limited, so that the kernel kills them when they need
// more: the machine runs out of memory for them alone.
//
// It needs Linux and root, and knows both versions of control groups.
package memlimit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// version is where a version of control groups keeps what we need.
type version struct {
	root, limit, swap, noSwap, events string
}

// versions lists both; the first that is there counts. In version 1 the limit of memory and swap together has to be no
// less than that of memory, and in version 2 swap has one of its own.
func versions(system string) []version {
	return []version{
		{filepath.Join(system, "memory"), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "", "memory.oom_control"},
		{system, "memory.max", "memory.swap.max", "0", "memory.events"},
	}
}

// Group is a control group. It is for one goroutine at a time.
type Group struct {
	path    string
	version version
}

// prefix of the names of our groups; a process id and a number follow.
const prefix = "topiq-torture-"

// New makes a group that may use so many bytes of memory and no swap. The caller must Remove it.
func New(bytes int64) (*Group, error) { return newIn("/sys/fs/cgroup", bytes) }

func newIn(system string, bytes int64) (*Group, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("memlimit: memory limits need root: they make control groups; run this as root")
	}
	v, err := find(system)
	if err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(v.root, prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, fmt.Errorf("memlimit: %w", err)
	}
	g := &Group{path: path, version: v}
	if err := g.Limit(bytes); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

// Limit changes how much the group may use. A limit below what it uses takes what can be written to disk or dropped; in
// version 1 it is refused where that does not suffice, in version 2 the kernel kills.
func (g *Group) Limit(bytes int64) error {
	swap := g.version.noSwap
	if swap == "" {
		swap = strconv.FormatInt(bytes, 10)
	}
	memory := strconv.FormatInt(bytes, 10)
	// The two limits of version 1 must never cross, whether they grow or shrink; one of these orders is right.
	err := errors.Join(g.write(g.version.limit, memory), g.writeSwap(swap))
	if err != nil {
		err = errors.Join(g.writeSwap(swap), g.write(g.version.limit, memory))
	}
	return err
}

// writeSwap limits swap; a kernel without it has no such file.
func (g *Group) writeSwap(value string) error {
	if err := g.write(g.version.swap, value); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func find(system string) (version, error) {
	all := versions(system)
	if _, err := os.Stat(filepath.Join(all[0].root, all[0].limit)); err == nil {
		return all[0], nil
	}
	controllers, err := os.ReadFile(filepath.Join(all[1].root, "cgroup.subtree_control"))
	if err == nil && strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
		return all[1], nil
	}
	return version{}, fmt.Errorf("memlimit: there is no control group for memory under %s: "+
		"run this where the memory controller is on", system)
}

func (g *Group) write(name, value string) error {
	if err := os.WriteFile(filepath.Join(g.path, name), []byte(value), 0); err != nil {
		return fmt.Errorf("memlimit: %w", err)
	}
	return nil
}

// Prefix is what to put before the line of a command so that it runs in the group, from its first instruction on.
func (g *Group) Prefix() []string {
	return []string{"/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, g.path}
}

// Kills is how many processes of the group the kernel has killed as they needed more.
func (g *Group) Kills() (int, error) {
	content, err := os.ReadFile(filepath.Join(g.path, g.version.events))
	if err != nil {
		return 0, fmt.Errorf("memlimit: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("memlimit: %s says nothing of killed processes: %q", g.version.events, content)
}

// Remove removes the group, whose processes must have ended; it waits a moment for the last.
func (g *Group) Remove() error {
	deadline := time.Now().Add(10 * time.Second)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := syscall.Rmdir(g.path)
		if err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("memlimit: remove %s: %w", g.path, err)
		}
		<-ticker.C
	}
}
