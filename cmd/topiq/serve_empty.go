package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/topiq/topiq/api"
)

// emptyCommand is `topiq __empty`: the limit of `topiq bench --limit`, in a process of its own as the
// broker is.
type emptyCommand struct {
	Addr   string `env:"-" default:"127.0.0.1:0" help:"Address to listen on."`
	Answer string `env:"-" required:"" help:"File with the bytes of each answer."`

	// For each request something is kept there, in one commit for all that have come meanwhile, unless this is "".
	Commit       string `env:"-" help:"Store of a broker beside whose tables one row is kept for each request."`
	PayloadBytes int    `env:"-" default:"100" help:"Size of each payload that is kept."`
	Positions    int    `env:"-" help:"Of so many rows each request changes one, and keeps none."`
	CPUProfile   string `name:"cpu-profile" env:"-" help:"As that of topiq serve."`
}

// emptyTimeout is the most time for a request to begin, and for the last ones to be answered.
const emptyTimeout = 5 * time.Second

// Run answers the same until ctx ends.
func (c *emptyCommand) Run(ctx context.Context, s streams) error {
	answer, err := os.ReadFile(c.Answer)
	if err != nil {
		return err
	}
	stop, err := profileFlag{c.CPUProfile}.profile()
	if err != nil {
		return err
	}
	keep, leave, err := c.keeper(ctx)
	if err != nil {
		return errors.Join(err, stop())
	}
	collectSeldom()
	handler := api.NewEmptyHandler(answer, keep) //nolint:contextcheck // each request has a context of its own
	return errors.Join(c.serve(ctx, s, handler), leave(), stop())
}

func (c *emptyCommand) serve(ctx context.Context, s streams, handler http.Handler) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.out, "the empty handler listens on http://%s and is no broker\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: emptyTimeout, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), emptyTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
