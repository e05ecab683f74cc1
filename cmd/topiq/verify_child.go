package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a broker that verify or bench starts, and verify kills: `topiq serve` in a process of its
// own. What bench compares a broker with is one too.
type child struct {
	program, store string
	// args are given instead of `serve --store`, and take --addr after them.
	args []string
	// lost is called when the process has ended without being asked to.
	lost func(error)

	life *life
	url  string // from the first start on; a later one takes the same port
	back atomic.Int64
}

// since is when the broker began to listen for the last time; the zero time for one that is not ours.
func (c *child) since() time.Time {
	if c == nil {
		return time.Time{}
	}
	return time.Unix(0, c.back.Load())
}

// Most time to start, and to stop after SIGTERM. The broker gives itself 15 seconds for the latter.
const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// start starts the broker, and waits until it listens.
func (c *child) start(ctx context.Context) error {
	addr := "127.0.0.1:0"
	if c.url != "" {
		addr = strings.TrimPrefix(c.url, "http://")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("the broker did not start within %s", startTimeout))
	defer cancel()
	for {
		url, err := c.attempt(ctx, addr)
		if err == nil {
			c.url = url
			c.back.Store(time.Now().UnixNano())
			return nil
		}
		// While nobody listens on it, the port may become the near end of somebody's connection for
		// a moment, perhaps of a client of ours that looks for the broker.
		if c.url == "" || ctx.Err() != nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
		if err := pause(ctx, glance); err != nil {
			return context.Cause(ctx)
		}
	}
}

func (c *child) attempt(ctx context.Context, addr string) (url string, err error) {
	// What ends the process is decided here, not by a context: a broker is asked to stop before it is killed.
	args := c.args
	if args == nil {
		args = []string{"serve", "--store", c.store}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.program, append(slices.Clip(args), "--addr", addr)...)
	l := &life{cmd: cmd, begun: make(chan struct{}), listens: make(chan string, 1), ended: make(chan struct{})}
	cmd.Stderr, cmd.SysProcAttr = &l.stderr, childAttributes()
	go l.live(c.lost)
	<-l.begun
	select {
	case url := <-l.listens:
		c.life = l
		return url, nil
	case <-l.ended:
		return "", fmt.Errorf("the broker did not start: %w", l.fate())
	case <-ctx.Done():
		l.kill()
		return "", context.Cause(ctx)
	}
}

// kill ends the broker as kill -9 does, and waits until it is gone.
func (c *child) kill() { c.life.kill() }

// stop asks the broker to end, and makes it end. It returns an error if the broker did not end well.
func (c *child) stop() error {
	if c == nil || c.life == nil {
		return nil // not ours, or never started
	}
	l := c.life
	if !l.expected.CompareAndSwap(false, true) {
		<-l.ended
		return nil // killed, or lost, which was told
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.kill()
		return fmt.Errorf("asking the broker to stop: %w", err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
		l.kill()
		return fmt.Errorf("the broker did not stop within %s of SIGTERM", stopTimeout)
	}
	if l.err != nil {
		return fmt.Errorf("after SIGTERM, %w", l.fate())
	}
	return nil
}

// life is one process of the broker.
type life struct {
	cmd      *exec.Cmd
	stderr   tail
	begun    chan struct{} // closed when cmd.Process is set, or will not be
	listens  chan string   // gets the URL
	listened bool          // it has got it; of live alone
	expected atomic.Bool   // its end is our doing
	ended    chan struct{} // closed when the process is gone
	err      error         // then: how
}

// live is the life of the process from its start to its end, in one goroutine that keeps its
// thread. Linux ends a child with the thread that started it (see childAttributes), and Go may end
// any thread but one that a goroutine has locked: so this one lives exactly as long as the process.
func (l *life) live(lost func(error)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.err = l.watch()
	close(l.ended)
	if l.expected.CompareAndSwap(false, true) && l.listened {
		lost(fmt.Errorf("the broker ended by itself: %w", l.fate()))
	}
}

func (l *life) watch() error {
	begun := sync.OnceFunc(func() { close(l.begun) })
	defer begun()
	// Nothing is ever written to its input, which ends with this process, whatever ends that. A
	// program that watches it needs no help of the system to end with us.
	if _, err := l.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := l.cmd.Start(); err != nil {
		return err
	}
	begun()
	out := bufio.NewReader(stdout)
	line, _ := out.ReadString('\n') // if there is none, the process ends and Wait says how
	if found := regexp.MustCompile(` listens on (http://\S+) `).FindStringSubmatch(line); found != nil {
		l.listened = true
		l.listens <- found[1]
	}
	_, _ = io.Copy(io.Discard, out)
	return l.cmd.Wait()
}

// kill ends the process and waits until it is gone.
func (l *life) kill() {
	l.expected.Store(true)
	if l.cmd.Process != nil {
		_ = l.cmd.Process.Kill() // it fails only if the process has ended
	}
	<-l.ended
}

// fate says how the process ended, and what it said last.
func (l *life) fate() error {
	how := errors.New("it ended")
	if l.err != nil {
		how = l.err
	}
	if said := l.stderr.lastLine(); said != "" {
		return fmt.Errorf("%w: %s", how, said)
	}
	return how
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 8 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// lastLine is the last line that is not empty, without the name of the program.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.FieldsFunc(string(t.kept), func(r rune) bool { return r == '\n' })
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimPrefix(lines[len(lines)-1], "topiq: ")
}
