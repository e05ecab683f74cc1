package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/topiq/topiq/client"
)

// healthCommand is `topiq health`.
type healthCommand struct {
	URL string `default:"http://127.0.0.1:8080" help:"Address of the broker."`
	tlsTrust
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Help is the longer part of the help text.
func (*healthCommand) Help() string {
	return "Asks a broker once whether it can work (GET /readyz): its store answers, and it is not shutting down. Ends with 0 if so, and " +
		"with 1 if not. It needs no token. It is for images that have neither a shell nor curl."
}

// Validate refuses what cannot work; kong calls it.
func (c *healthCommand) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return nil
}

// Run asks.
func (c *healthCommand) Run(ctx context.Context, s streams) error {
	trust, err := c.options()
	if err != nil {
		return err
	}
	broker, err := newClient([]string{c.URL}, append(trust, client.WithTimeout(c.Timeout), client.WithUserAgent("topiq/"+version))...)
	if err != nil {
		return &usageError{err}
	}
	defer func() { _ = broker.Close() }()
	if err := broker.Ready(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, "ready")
	return err
}
