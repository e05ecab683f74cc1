// Package server runs brokers and PostgreSQL servers as child processes, and does to them what
// faults do.
package server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is one child. It ends when this program ends, however that happens.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended; after ended is closed
}

// start starts a command whose output goes to a file: a pipe would stay open as long as any of its
// children lives. Linux ends a child with the thread that started it, and Go may end any thread but
// one that a goroutine has locked; so the goroutine lives exactly as long as the process.
func start(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the child has its own copy
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	p := &process{cmd: cmd, ended: make(chan struct{})}
	begun := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			begun <- err
			close(p.ended)
			return
		}
		begun <- nil
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-begun; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal; a process that has ended does not mind.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// wait waits until the process has ended, and says whether it did.
func (p *process) wait(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

// logTail is the end of a log, for an error message.
func logTail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 1500
	return strings.TrimSpace(string(content[max(0, len(content)-most):]))
}
