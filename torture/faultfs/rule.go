package faultfs

import (
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// Call is a call that a rule can be about.
type Call string

// The calls. Reads that the kernel answers from its page cache do not get here; it forgets the pages of a file
// when the file is opened.
const (
	Fsync Call = "fsync" // of files and of directories, and fdatasync
	Write Call = "write" // and growing a file by fallocate
	Read  Call = "read"
)

// Rule says what becomes of some calls. It must not be changed once it is set.
type Rule struct {
	Call Call
	// Match picks files by their path below the mount point, as they were opened. Nil is all.
	Match func(path string) bool
	// Delay is slept before the call, for as long as its caller waits.
	Delay time.Duration
	// Errno is the answer instead of the call; 0 lets it through.
	Errno syscall.Errno
	// Times is how often the rule fires; 0 is until it is removed.
	Times int64

	fired atomic.Int64
}

// Fired is how many calls the rule has met so far.
func (r *Rule) Fired() int64 {
	n := r.fired.Load()
	if r.Times > 0 {
		return min(n, r.Times)
	}
	return n
}

// take says whether the rule is about this call, and counts it.
func (r *Rule) take(call Call, path string) bool {
	if r.Call != call || r.Match != nil && !r.Match(path) {
		return false
	}
	n := r.fired.Add(1)
	return r.Times == 0 || n <= r.Times
}

// Set adds a rule. Of several rules about one call the delays add up, and the first with an Errno decides.
func (f *FS) Set(rule *Rule) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(slices.Clone(f.rules), rule)
	return rule
}

// Unset removes a rule.
func (f *FS) Unset(rule *Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(slices.Clone(f.rules), func(r *Rule) bool { return r == rule })
}

// apply waits and answers as the rules say. cancelled ends when the caller has gone.
func (f *FS) apply(cancelled <-chan struct{}, call Call, path string) syscall.Errno {
	f.mu.Lock()
	rules := f.rules
	f.mu.Unlock()
	for _, rule := range rules {
		if !rule.take(call, path) {
			continue
		}
		if rule.Delay > 0 {
			timer := time.NewTimer(rule.Delay)
			select {
			case <-timer.C:
			case <-cancelled:
				timer.Stop()
				return syscall.EINTR
			}
		}
		if rule.Errno != 0 {
			return rule.Errno
		}
	}
	return 0
}
