package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// broker is `topiq serve` in a process.
type broker struct {
	url    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

// readyCheck is how often a broker is asked whether it is ready.
const readyCheck = time.Millisecond

// serve starts a broker, and returns when it is ready.
func (m *measurement) serve(ctx context.Context, store string, more ...string) (*broker, error) {
	b, err := m.start(ctx, append([]string{"serve", "--addr=127.0.0.1:0", "--log-level=warn", "--store=" + store}, more...)...)
	if err != nil {
		return nil, err
	}
	for {
		ready, err := b.ready(ctx)
		if err == nil && ready {
			return b, nil
		}
		if err == nil {
			err = pause(ctx, readyCheck)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, b.stop())
		}
	}
}

// start starts a server, and returns when it listens.
func (m *measurement) start(ctx context.Context, args ...string) (*broker, error) {
	b := &broker{}
	b.cmd = exec.CommandContext(ctx, m.options.Topiq, args...)
	b.cmd.Stderr = &b.stderr
	b.cmd.Cancel = func() error { return b.cmd.Process.Signal(syscall.SIGTERM) }
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n') // without one the process has ended, and says why
	found := regexp.MustCompile(` listens on (http://\S+) `).FindStringSubmatch(line)
	if found == nil {
		return nil, fmt.Errorf("the broker did not start: %w: %s", b.cmd.Wait(), b.stderr.String())
	}
	b.url = found[1]
	return b, nil
}

func (b *broker) ready(ctx context.Context) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/readyz", http.NoBody)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	return answer.StatusCode == http.StatusOK, answer.Body.Close()
}

// stop asks the broker to end, and waits until it has.
func (b *broker) stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it fails only where the process has ended
	if err := b.cmd.Wait(); err != nil {
		return fmt.Errorf("the broker ended: %w: %s", err, b.stderr.String())
	}
	return nil
}

// status is a number of kilobytes that Linux tells of the process: VmRSS is what it has in memory, VmHWM the most
// it ever had.
func (b *broker) status(name string) (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(b.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("the memory of a process is told only by Linux: %w", err)
	}
	found := regexp.MustCompile(name + `:\s+([0-9]+) kB`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("the status of the process has no %s", name)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
