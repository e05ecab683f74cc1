package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/topiq/topiq/client"
)

// leaveTimeout bounds what is done after a run, also after one that was interrupted.
const leaveTimeout = 30 * time.Second

// defaultURL is where a broker is that was not told otherwise.
const defaultURL = "http://127.0.0.1:8080"

// observe runs the scenario and returns what was seen. An error means that it could not even begin;
// otherwise begins is called when it does.
func (c *verifyCommand) observe(ctx context.Context, r *report, begins func()) (*history, error) {
	h := &history{
		plan: sizes{c.Producers, c.Consumers, c.Topics, c.Messages}.scenario(),
		seed: c.Seed, wantKills: c.KillEvery > 0,
	}
	running, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("the run did not end within %s", c.Timeout))
	defer cancel()
	running, giveUp := context.WithCancelCause(running)
	defer giveUp(nil)

	access, err := c.credentials.options()
	if err != nil {
		return nil, err
	}
	trust, err := c.config()
	if err != nil {
		return nil, err
	}
	broker, err := c.broker(running, r, giveUp)
	if err != nil {
		return nil, err
	}
	watch := newTraffic(trust)
	defer watch.close()
	w := &workload{history: h, prefix: r.prefix(), maxTimeout: c.MaxTimeout, patience: c.Patience, back: broker.since}
	w.broker, err = newClient(strings.Split(r.URL, ","), append(access, client.WithHTTPClient(&http.Client{Transport: watch}),
		client.WithUserAgent("topiq/"+version),
		client.WithRetry(c.retry()))...)
	if err != nil {
		return nil, errors.Join(&usageError{err}, broker.stop())
	}
	if err := c.prepare(running, w, r); err != nil {
		return nil, errors.Join(err, c.leave(ctx, w, broker))
	}
	begins()
	k := &killer{child: broker, traffic: watch, every: c.KillEvery, random: w.pace(-1).random}
	if err := w.work(running, k); err != nil {
		h.failure = oneLine(err)
	}
	_, h.traffic = watch.now()
	h.kills = k.kills
	if err := c.leave(ctx, w, broker); err != nil {
		h.problems = append(h.problems, oneLine(err))
	}
	return h, nil
}

// retry is how long a request is repeated: for about ten seconds. With kills it is as long as the run may take, for it can
// meet the broker away each time; that a broker does not come back is told by who starts it.
func (c *verifyCommand) retry() client.Retry {
	r := client.Retry{Attempts: 20, Base: 50 * time.Millisecond, Max: time.Second}
	if c.KillEvery > 0 {
		r.Attempts = math.MaxInt
	}
	return r
}

// broker starts the broker of --store; without the flag there is none to be started.
func (c *verifyCommand) broker(ctx context.Context, r *report, giveUp func(error)) (*child, error) {
	if c.Store == "" {
		r.URL = c.URL
		if r.URL == "" {
			r.URL = defaultURL
		}
		return nil, nil //nolint:nilnil // a child that is nil is one that is not ours, see stop
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	broker := &child{program: program, store: c.Store, lost: giveUp}
	err = broker.start(ctx)
	r.URL, r.Child = broker.url, true
	return broker, err
}

// prepare finds out who is there, and registers everybody.
func (c *verifyCommand) prepare(ctx context.Context, w *workload, r *report) error {
	if err := w.broker.Ready(ctx); err != nil {
		return err
	}
	info, err := w.broker.Info(ctx)
	if err != nil {
		return err
	}
	r.Version, r.Engine, r.Durability, r.Unsafe = info.Version, info.Engine, string(info.Durability), info.Unsafe
	if err := w.setUp(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// work does everything of which there is a history. When it returns, all that it started has ended.
func (w *workload) work(ctx context.Context, k *killer) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	sent, killed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		if err := k.run(ctx, sent); err != nil {
			giveUp(err) // nobody needs to wait for a broker that is not coming back
		}
	}()
	err := w.run(ctx, sent)
	<-killed
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = k.last(ctx)
	}
	if err != nil {
		return err
	}
	return w.lookAgain(ctx)
}

// leave deletes the topics and ends the broker. ctx may have ended.
func (c *verifyCommand) leave(ctx context.Context, w *workload, broker *child) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	var err error
	if !c.Keep {
		err = w.cleanUp(ctx)
	}
	return errors.Join(err, w.broker.Close(), broker.stop())
}
