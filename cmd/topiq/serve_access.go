package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/service"
)

// accessFlags say who may use a broker.
type accessFlags struct {
	Auth           bool     `help:"Ask for tokens (topiq tokens create makes them). A store that has tokens, or had some, is served so in any case."`
	InsecureNoAuth bool     `help:"Do not ask for tokens, although other machines may reach this broker or the store has tokens: whoever reaches the port may do everything."`
	AllowHost      []string `placeholder:"NAME" help:"Names by which clients reach this broker, besides localhost: NAME for any port, NAME:PORT for one, * for any name."`
	AllowOrigin    []string `placeholder:"ORIGIN" help:"Sites whose pages may use this broker from a browser, such as https://app.example.com. Pages of all others are refused."`
	TLS            tlsFlags `embed:"" prefix:"tls-"`
}

// validate refuses what contradicts itself.
func (f *accessFlags) validate() error {
	if f.Auth && f.InsecureNoAuth {
		return errors.New("--auth asks for tokens and --insecure-no-auth does not: give one of them")
	}
	for _, origin := range f.AllowOrigin {
		if err := api.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--allow-origin %s: %w", origin, err)
		}
	}
	return f.TLS.Validate()
}

// refuseOpen refuses to listen where other machines get in without a token.
func (f *accessFlags) refuseOpen(addr string, local bool) error {
	if local || f.Auth || f.InsecureNoAuth {
		return nil
	}
	return &usageError{fmt.Errorf("--addr %s can be reached from other machines, and nobody would be asked for a token: "+
		"make one with topiq tokens create and start with --auth, or listen on 127.0.0.1, or say --insecure-no-auth if "+
		"everybody who reaches the port may do everything", addr)}
}

// authenticate decides whether a broker asks for tokens. A store that has tokens or had some once is
// not opened to everybody by a flag that was forgotten, nor by revoking the last of them.
func (f *accessFlags) authenticate(ctx context.Context, store service.Store, log *slog.Logger) (bool, error) {
	if f.Auth && store.Properties().Engine == "memory" {
		return false, &usageError{errors.New("--auth cannot work with memory:, which forgets its tokens with the process: " +
			"nobody could make the first one")}
	}
	tokens, err := store.Tokens(ctx)
	if err != nil {
		return false, fmt.Errorf("read the tokens: %w", err)
	}
	switch {
	case f.Auth && len(tokens) == 0:
		log.WarnContext(ctx, "nobody can use this broker: it asks for tokens, and the store has none; "+
			"topiq tokens create --store makes the first one while the broker is stopped")
	case f.Auth || len(tokens) == 0:
	case f.InsecureNoAuth:
		log.WarnContext(ctx, "the store has tokens, and nobody is asked for one")
	default:
		log.InfoContext(ctx, "the store has tokens, so this broker asks for one")
		return true, nil
	}
	return f.Auth, nil
}

// unsafe lists what weakens safety, for people. auth is what authenticate decided.
func (f *accessFlags) unsafe(addr string, local, auth bool) (list []string) {
	switch {
	case !local && !auth:
		list = append(list, "insecure-no-auth: other machines can reach "+addr+" without a token")
	case f.InsecureNoAuth:
		list = append(list, "insecure-no-auth: nobody is asked for a token")
	}
	if !local && auth && !f.TLS.on() {
		list = append(list, "no TLS: tokens and messages can be read on their way to "+addr+", unless a proxy in front encrypts them")
	}
	if slices.Contains(f.AllowHost, "*") {
		list = append(list, "allow-host *: web pages can reach this broker by DNS rebinding")
	}
	return list
}

// scheme is that of the addresses of the broker.
func (f *accessFlags) scheme() string {
	if f.TLS.on() {
		return "https"
	}
	return "http"
}
