package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is one run of `topiq bench`.
type bench struct {
	command *benchCommand
	setup   *benchSetup
	run     string // tells runs apart
	info    brokerInfo
	program string
	dir     string // of files that the run needs; "" while there are none
	// children are the processes of the run; giveUp ends it when one of them ends by itself.
	children []*child
	giveUp   context.CancelCauseFunc
	running  context.Context //nolint:containedctx // it ends with a child, which may be before the command is asked to end

	contenders []contender
	closers    []func(context.Context) error
}

// contender is one of those that are measured in turn: the broker is the first, its limits follow.
type contender struct {
	name string
	// run measures one round.
	run func(context.Context, *liveFigures) (figures, error)
	// byLatency says that the ratio is that of the p99, not of the rates.
	byLatency bool
}

// begin starts what the run needs. After an error nothing of it is left.
func (c *benchCommand) begin(ctx context.Context) (*bench, error) {
	urls := c.URL
	if len(urls) == 0 {
		urls = []string{defaultURL}
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	trust, err := c.config()
	if err != nil {
		return nil, err
	}
	b := &bench{command: c, run: runName(), setup: &benchSetup{urls: urls, prefix: c.Prefix, access: benchAccess{token, trust}}}
	if c.Prefix == "" {
		b.setup.prefix = "bench-" + b.run
	}
	b.running, b.giveUp = context.WithCancelCause(ctx)
	if err := b.prepare(); err != nil {
		if ctx.Err() == nil && b.running.Err() != nil {
			err = context.Cause(b.running) //nolint:contextcheck // it ends with ctx, and when the run is given up
		}
		return nil, errors.Join(err, b.end(ctx))
	}
	return b, nil
}

func (b *bench) prepare() (err error) {
	if b.program, err = os.Executable(); err != nil {
		return err
	}
	c := b.command
	if c.Store != "" {
		b.setup.urls = nil
		for range c.Brokers {
			url, err := b.startChild(append([]string{"serve", "--store", c.Store, "--log-level", "warn"}, c.ServeFlag...))
			if err != nil {
				return err
			}
			b.setup.urls = append(b.setup.urls, url)
		}
	}
	if b.info, err = b.setup.info(b.running); err != nil {
		return err
	}
	b.closers = append(b.closers, func(ctx context.Context) error {
		if c.Keep {
			return nil
		}
		return b.setup.deleteTopics(ctx, c.Topics)
	})
	switch {
	case c.EndToEnd:
		return b.prepareEndToEnd()
	case c.Consume:
		return b.prepareConsume()
	default:
		return b.prepareProduce()
	}
}

func (b *bench) prepareProduce() error {
	workers, err := b.command.produceWorkers(b.running, b.setup)
	if err != nil {
		return err
	}
	b.addLoad("topiq", workers)
	if !b.command.Limit {
		return nil
	}
	// One row by COPY for each commit would be no limit: the broker commits what comes together together.
	if b.command.onPostgres() && b.command.Batch > 1 {
		if err := b.addCopy(); err != nil {
			return err
		}
	}
	if err := b.addEmpty(workers); err != nil {
		return err
	}
	if b.command.onDisk() && b.command.Batch == 1 {
		return b.addOneCommit(workers, "--payload-bytes", strconv.Itoa(b.command.PayloadBytes))
	}
	return nil
}

// startChild starts a process of this program that listens, and returns its address.
func (b *bench) startChild(args []string) (url string, err error) {
	if dir := b.command.Profiles; dir != "" {
		name := strings.Trim(args[0], "_") + "-" + strconv.Itoa(len(b.children)+1) + ".prof"
		args = append(args, "--cpu-profile="+filepath.Join(dir, name))
	}
	process := &child{program: b.program, args: args, lost: b.giveUp}
	if err := process.start(b.running); err != nil {
		return "", err
	}
	b.children = append(b.children, process)
	return process.url, nil
}

// addLoad adds what a number of workers do.
func (b *bench) addLoad(name string, workers []benchWorker) {
	l := &load{workers: workers, warmUp: b.command.WarmUp, duration: b.command.Duration, interval: b.command.interval()}
	// At a rate that is asked for, only the times can differ.
	b.contenders = append(b.contenders, contender{name: name, run: l.run, byLatency: b.command.Rate > 0})
}

// interval is the time between two requests of a connection at the rate that is asked for.
func (c *benchCommand) interval() time.Duration {
	if c.Rate == 0 {
		return 0
	}
	return time.Duration(float64(c.Connections*c.Batch) / c.Rate * float64(time.Second))
}

// limited is a worker that can do the same to the empty handler.
type limited interface {
	benchWorker
	forLimit(conn *benchConn) benchWorker
	lastAnswer() []byte
}

// addEmpty adds the same load on the empty handler.
func (b *bench) addEmpty(workers []benchWorker) error {
	if err := b.keepAnswer(workers); err != nil {
		return err
	}
	return b.addSame("empty handler", workers)
}

// addOneCommit adds the same load on the empty handler that keeps something of each request, after keepAnswer.
func (b *bench) addOneCommit(workers []benchWorker, args ...string) error {
	return b.addSame("one commit", workers, append(args, "--commit", b.command.Store)...)
}

// keepAnswer writes the broker's answer to the first request of a worker into a file: the empty handler's answer.
func (b *bench) keepAnswer(workers []benchWorker) error {
	first, ok := workers[0].(limited)
	if !ok {
		return fmt.Errorf("%T has no limit", workers[0])
	}
	if _, err := first.do(b.running, time.Now()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "topiq-bench-")
	if err != nil {
		return err
	}
	b.dir = dir
	return os.WriteFile(b.answer(), first.lastAnswer(), 0o600)
}

// answer is the file with the answer of the empty handler.
func (b *bench) answer() string { return filepath.Join(b.dir, "answer.json") }

// addSame adds the same load on an empty handler.
func (b *bench) addSame(name string, workers []benchWorker, args ...string) error {
	url, err := b.startChild(append([]string{"__empty", "--answer", b.answer()}, args...))
	if err != nil {
		return err
	}
	same := make([]benchWorker, len(workers))
	for i := range workers {
		conn, err := newBenchConn(url)
		if err != nil {
			return err
		}
		w, ok := workers[i].(limited)
		if !ok {
			return fmt.Errorf("%T has no limit", workers[i])
		}
		same[i] = w.forLimit(conn)
	}
	b.addLoad(name, same)
	return nil
}

// measure runs all rounds, the contenders of each in turn, so that what disturbs the machine for a while
// disturbs all of them alike.
func (b *bench) measure(ctx context.Context, s streams) (*benchReport, error) {
	all := make([][]figures, len(b.contenders))
	for round := range b.command.rounds() {
		for i := range b.contenders {
			shown := newBenchProgress(s.err, fmt.Sprintf("round %d of %d, %s", round+1, b.command.rounds(), b.contenders[i].name))
			f, err := b.contenders[i].run(b.running, shown.figures) //nolint:contextcheck // as in begin
			shown.end()
			if err != nil && ctx.Err() == nil && b.running.Err() != nil {
				err = context.Cause(b.running) //nolint:contextcheck // as in begin
			}
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], f)
		}
	}
	return b.report(all), nil
}

// end stops all that begin has started. ctx may have ended.
func (b *bench) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	var err error
	for _, v := range slices.Backward(b.closers) {
		err = errors.Join(err, v(ctx))
	}
	for _, process := range b.children {
		err = errors.Join(err, process.stop())
	}
	b.giveUp(nil)
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}
