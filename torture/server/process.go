// Package server runs brokers and PostgreSQL servers as child processes, and does to them what
// faults do.
package server

import (
	"errors"
	"fmt"
	"io"
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
	// life is the read end of a pipe whose write end every descendant inherits and none uses: it reads
	// as ended exactly when the last of them is gone.
	life *os.File
	err  error // how it ended; after ended is closed
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
	life, inherited, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inherited.Close() //nolint:errcheck // the child has its own copy
	cmd.ExtraFiles = []*os.File{inherited}
	p := &process{cmd: cmd, life: life, ended: make(chan struct{})}
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
		_ = life.Close()
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

// gone waits until the process and all its descendants have ended, and says whether they did.
func (p *process) gone(atMost time.Duration) bool {
	if !p.wait(atMost) || p.life.SetReadDeadline(time.Now().Add(atMost)) != nil {
		return false
	}
	_, err := p.life.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		return false
	}
	_ = p.life.Close()
	return true
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
