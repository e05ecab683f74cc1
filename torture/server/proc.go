package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// children are the processes whose parent is pid.
func children(pid int) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if _, parent := stat(child); parent == pid {
			pids = append(pids, child)
		}
	}
	return pids
}

// stat reads the state and the parent of a process; the state is empty if there is none.
func stat(pid int) (state string, parent int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The name, in parentheses, may contain anything.
	_, rest, _ := strings.Cut(string(content), ") ")
	if i := strings.LastIndex(string(content), ") "); i >= 0 {
		rest = string(content[i+2:])
	}
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// Usage is what a process holds.
type Usage struct {
	Files int   // open file descriptors
	RSS   int64 // bytes of memory
	Peak  int64 // most bytes of memory so far
}

// UsageOf reads it from /proc.
func UsageOf(pid int) (Usage, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Files: len(files)}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.RSS = kib << 10
		case "VmHWM":
			u.Peak = kib << 10
		}
	}
	return u, nil
}
