package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"
)

// verifyCommand is `topiq verify`.
type verifyCommand struct {
	URL string `placeholder:"URL" help:"Address of a running broker; http://127.0.0.1:8080 if neither this nor --store is given."`
	credentials
	tlsTrust
	Store     string        `env:"-" placeholder:"URL" help:"Start a broker for the run, as a process of its own, which keeps messages there: memory:, sqlite:FILE or postgres://USER@HOST/DATABASE."`
	KillEvery time.Duration `placeholder:"TIME" help:"kill -9 the broker of --store whenever it has run for so long while messages are sent, and once more in the end, and start it again."`

	Producers  int           `default:"0" help:"Number of producers; 0 is 5."`
	Consumers  int           `default:"0" help:"Number of consumers; 0 is 3."`
	Topics     int           `default:"0" help:"Number of topics; 0 is 3."`
	Messages   int           `default:"0" help:"Number of messages, of all topics together; 0 is 4965."`
	MaxTimeout time.Duration `default:"100ms" help:"Longest time that a producer or a consumer waits between two requests. How long it waits is random."`
	Seed       uint64        `default:"0" help:"What all random choices and the text of the messages follow from; 0 picks one."`

	Timeout  time.Duration `default:"10m" help:"Most time for the run. One that takes longer has failed."`
	Patience time.Duration `default:"10s" help:"How long a consumer waits for a message that must be there, before it is taken for lost. It counts from the last start of a broker that is killed."`
	Keep     bool          `help:"Do not delete the topics of the run."`
	JSON     bool          `help:"Write the report as JSON."`
}

// Help is the longer part of the help text.
func (*verifyCommand) Help() string {
	return "Lets producers and consumers work on new topics of a broker, at random intervals, and checks what they saw: " +
		"that no message was lost, doubled, made up or moved, that all consumers got the same in the same order, and that " +
		"a consumer which begins afterwards gets it once more. Ends with 1 unless every check was made and passed. " +
		"Without --producers, --consumers and --topics, the producers P1 to P5 send to the topics T-1 (P1, P2, P3), T-2 " +
		"(P1, P4, P5) and T-3 (P1, P2), C1 reads all of them, C2 and C3 read T-1 and T-3. With any of these flags, " +
		"everybody works with every topic."
}

// minKillEvery leaves the broker time to do something in between.
const minKillEvery = 100 * time.Millisecond

// Validate refuses what cannot work; kong calls it.
func (c *verifyCommand) Validate() error {
	switch {
	case c.URL != "" && c.Store != "":
		return errors.New("--url is a broker that runs and --store one that is started: give one of them")
	case c.KillEvery != 0 && c.Store == "":
		return errors.New("--kill-every needs --store: only a broker that this command has started can be killed by it")
	case c.KillEvery != 0 && strings.HasPrefix(c.Store, "memory:"):
		return errors.New("--kill-every cannot work with memory:, whose messages end with the process")
	case c.KillEvery != 0 && c.KillEvery < minKillEvery:
		return fmt.Errorf("--kill-every must be at least %s", minKillEvery)
	case min(c.Producers, c.Consumers, c.Topics, c.Messages) < 0:
		return errors.New("--producers, --consumers, --topics and --messages must not be negative")
	case c.MaxTimeout < 0:
		return errors.New("--max-timeout must not be negative")
	case c.Timeout <= 0 || c.Patience <= 0:
		return errors.New("--timeout and --patience must be above 0")
	}
	return nil
}

// Run runs the scenario, and reports.
func (c *verifyCommand) Run(ctx context.Context, s streams) error {
	c.Seed = c.seed()
	began := time.Now()
	r := report{Seed: c.Seed, Run: runName()}
	begins := func() {
		_, _ = fmt.Fprintf(s.err, "run %s, seed %d, begins on the broker at %s\n", r.Run, r.Seed, r.URL)
	}
	h, err := c.observe(ctx, &r, begins)
	if err != nil {
		return err // nothing was seen, so there is nothing to report
	}
	r.add(h, time.Since(began))
	write := r.writeTable
	if c.JSON {
		write = r.writeJSON
	}
	if err := write(s.out); err != nil {
		return err
	}
	return r.failure()
}

// seed is one that people can copy, and that JSON does not round.
func (c *verifyCommand) seed() uint64 {
	if c.Seed != 0 {
		return c.Seed
	}
	return 1 + mathrand.Uint64N(1<<32)
}

// runName tells runs apart, also those of the same seed.
func runName() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
