package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/topiq/topiq/client"
)

// connection says which broker a command talks to.
type connection struct {
	URL string `default:"http://127.0.0.1:8080" help:"Address of the broker."`
}

// open makes a client, which tells of passing failures on standard error, so that a command that
// waits for a broker to come back says what it waits for.
func (c connection) open(s streams) (*client.Client, error) {
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	broker, err := client.New(c.URL, client.WithLogger(log), client.WithUserAgent("topiq/"+version),
		// A person waits: a broker that is not there is told after two seconds, not after ten.
		client.WithRetry(client.Retry{Attempts: 5}))
	if errors.Is(err, client.ErrInvalidRequest) {
		return nil, &usageError{err}
	}
	return broker, err
}

// do calls a function with a client and closes it.
func (c connection) do(ctx context.Context, s streams, call func(context.Context, *client.Client) error) error {
	broker, err := c.open(s)
	if err != nil {
		return err
	}
	return errors.Join(call(ctx, broker), broker.Close())
}
