package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/topiq/topiq/client"
)

// connection says which broker a command talks to, or which ones.
type connection struct {
	URL []string `default:"http://127.0.0.1:8080" help:"Address of the broker, or of several on one store: when one fails, the next is asked."`
	credentials
	tlsTrust
}

// options are what a client needs to get in.
func (c connection) options() ([]client.Option, error) {
	token, err := c.credentials.options()
	if err != nil {
		return nil, err
	}
	trust, err := c.tlsTrust.options()
	return append(token, trust...), err
}

// newClient makes a client of the brokers at these addresses.
func newClient(urls []string, options ...client.Option) (*client.Client, error) {
	if len(urls) == 0 {
		urls = []string{""} // which is refused in words
	}
	return client.New(urls[0], append(options, client.Brokers(urls[1:]...))...)
}

// open makes a client, which tells of passing failures on standard error, so that a command that
// waits for a broker to come back says what it waits for.
func (c connection) open(s streams) (*client.Client, error) {
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	access, err := c.options()
	if err != nil {
		return nil, err
	}
	broker, err := newClient(c.URL, append(access, client.WithLogger(log), client.WithUserAgent("topiq/"+version),
		// A person waits: a broker that is not there is told after two seconds, not after ten.
		client.WithRetry(client.Retry{Attempts: 5}))...)
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
