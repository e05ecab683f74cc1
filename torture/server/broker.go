package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Most time for a broker to start, and to end after SIGTERM. It gives itself 15 seconds for the
// latter.
const (
	brokerStart = 30 * time.Second
	brokerStop  = 20 * time.Second
	glance      = 5 * time.Millisecond
)

// BrokerConfig says how to run `topiq serve`.
type BrokerConfig struct {
	Program string   // the topiq binary
	Store   string   // the value of --store
	Args    []string // more flags
	Env     []string // more environment, such as TOPIQ_FAULTS=…
	Dir     string   // where its log goes
	Name    string   // of the log: NAME.log
	// Prefix is put before the program, such as a wrapper that joins a control group.
	Prefix []string
}

// Broker is a `topiq serve` that keeps its port over restarts. Its methods may be called from any
// goroutine, but not two that start or end it at a time.
type Broker struct {
	config BrokerConfig
	port   int

	mu       sync.Mutex
	process  *process
	expected bool // the end of the process is our doing
}

// NewBroker chooses a port; nothing runs yet.
func NewBroker(config BrokerConfig) (*Broker, error) {
	port, err := FreePort()
	return &Broker{config: config, port: port}, err
}

// Program is the path of the binary.
func (b *Broker) Program() string { return b.config.Program }

// URL is where clients reach the broker.
func (b *Broker) URL() string { return "http://" + b.Addr() }

// Addr is the host and port.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// Log is the path of everything it wrote.
func (b *Broker) Log() string { return filepath.Join(b.config.Dir, b.config.Name+".log") }

// LogTail is the end of its log.
func (b *Broker) LogTail() string { return logTail(b.Log()) }

// Configure changes how the next start runs the broker.
func (b *Broker) Configure(change func(*BrokerConfig)) { change(&b.config) }

// Start starts the broker and waits until it answers. The error says why it did not.
func (b *Broker) Start(ctx context.Context) error {
	deadline := time.Now().Add(brokerStart)
	for {
		err := b.attempt(ctx, deadline)
		// While nobody listens on it, the port may be taken for a moment.
		if err == nil || time.Now().After(deadline) || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
		if err := Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// Launch starts the process and does not wait until it answers.
func (b *Broker) Launch() error {
	c := &b.config
	line := append(append([]string{}, c.Prefix...), c.Program, "serve", "--addr", b.Addr(), "--store", c.Store, "--log-level", "warn")
	line = append(line, c.Args...)
	//nolint:gosec,noctx // what ends it is decided by the nemesis, not by a context
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	p, err := start(cmd, b.Log())
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process, b.expected = p, false
	return nil
}

func (b *Broker) attempt(ctx context.Context, deadline time.Time) error {
	size := b.logSize()
	if err := b.Launch(); err != nil {
		return err
	}
	p := b.current()
	for {
		if b.healthy(ctx) {
			return nil
		}
		if !p.running() {
			return fmt.Errorf("broker %s did not start (%w): %s", b.config.Name, p.err, b.logSince(size))
		}
		if time.Now().After(deadline) {
			b.Kill()
			return fmt.Errorf("broker %s did not start within %s: %s", b.config.Name, brokerStart, b.logSince(size))
		}
		if err := Pause(ctx, glance); err != nil {
			b.Kill()
			return err
		}
	}
}

func (b *Broker) healthy(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return b.Healthy(ctx, 2*time.Second)
}

// Ready says whether /readyz answers 200, and which status it gives otherwise (0: no answer).
func (b *Broker) Ready(ctx context.Context) (status int, ok bool) {
	status, err := b.get(ctx, "/readyz", 2*time.Second)
	return status, err == nil && status == http.StatusOK
}

// Healthy says whether /healthz answers 200 within a time.
func (b *Broker) Healthy(ctx context.Context, atMost time.Duration) bool {
	status, err := b.get(ctx, "/healthz", atMost)
	return err == nil && status == http.StatusOK
}

func (b *Broker) get(ctx context.Context, path string, atMost time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL()+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// Metrics are the numbers that the broker tells at /metrics, by name, the series of one name added up; none if it
// does not tell.
func (b *Broker) Metrics(ctx context.Context) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL()+"/metrics", http.NoBody)
	if err != nil {
		return nil
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	told := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		series, number, _ := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), '}'); i >= 0 {
			series, number = lines.Text()[:i], strings.TrimSpace(lines.Text()[i+1:])
		}
		name, _, _ := strings.Cut(series, "{")
		if n, err := strconv.ParseFloat(number, 64); err == nil {
			told[name] += n
		}
	}
	return told
}

func (b *Broker) current() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// Running says whether the process is there.
func (b *Broker) Running() bool {
	p := b.current()
	return p != nil && p.running()
}

// Ended is closed when the process has ended; nil if there never was one.
func (b *Broker) Ended() <-chan struct{} {
	if p := b.current(); p != nil {
		return p.ended
	}
	return nil
}

// Died says how the process ended by itself; nil if it runs, or if we ended it.
func (b *Broker) Died() error {
	b.mu.Lock()
	p, expected := b.process, b.expected
	b.mu.Unlock()
	if p == nil || expected || p.running() {
		return nil
	}
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("broker %s ended by itself (%w): %s", b.config.Name, err, b.LogTail())
}

// Expect says that the broker may end by itself from now on until its next start.
func (b *Broker) Expect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = true
}

// Pid is that of the process, 0 if there is none.
func (b *Broker) Pid() int {
	if p := b.current(); p != nil && p.running() {
		return p.pid()
	}
	return 0
}

// Kill ends the broker as kill -9 does, and waits until it is gone.
func (b *Broker) Kill() {
	p := b.current()
	if p == nil {
		return
	}
	b.Expect()
	_ = p.signal(syscall.SIGKILL)
	<-p.ended
}

// Stop asks the broker to end with SIGTERM, and returns an error if it did not end well.
func (b *Broker) Stop() error {
	p := b.current()
	if p == nil || !p.running() {
		return nil
	}
	b.Expect()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if !p.wait(brokerStop) {
		b.Kill()
		return fmt.Errorf("broker %s did not end within %s of SIGTERM", b.config.Name, brokerStop)
	}
	if p.err != nil {
		return fmt.Errorf("broker %s ended badly after SIGTERM (%w): %s", b.config.Name, p.err, b.LogTail())
	}
	return nil
}

// Terminate sends SIGTERM and does not wait.
func (b *Broker) Terminate() error {
	b.Expect()
	return b.current().signal(syscall.SIGTERM)
}

// Unfreeze lets a frozen process go on if there is one.
func (b *Broker) Unfreeze() error {
	if !b.Running() {
		return nil
	}
	return b.Thaw()
}

// Freeze stops all threads of the process, as SIGSTOP does.
func (b *Broker) Freeze() error { return b.current().signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (b *Broker) Thaw() error { return b.current().signal(syscall.SIGCONT) }

func (b *Broker) logSize() int64 {
	info, err := os.Stat(b.Log())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logSince is what was logged from a size on.
func (b *Broker) logSince(size int64) string {
	content, err := os.ReadFile(b.Log())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content[min(size, int64(len(content))):]))
}

// Logged returns the first line of the log that has a text, "" if none has.
func (b *Broker) Logged(text string) string {
	for line := range strings.Lines(b.logSince(0)) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// Pause waits, or returns the reason for which the context ended.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
