package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/service"
)

// tokensCommand is `topiq tokens`.
type tokensCommand struct {
	Create tokensCreateCommand `cmd:"" help:"Make a token, and write it to standard output: it is not shown again."`
	List   tokensListCommand   `cmd:"" help:"List the tokens, without the secrets, which nobody knows."`
	Revoke tokensRevokeCommand `cmd:"" help:"End tokens for good."`
}

// tokensHelp is what the commands have in common.
const tokensHelp = "A broker that runs is asked, with a token of the scope admin (TOPIQ_TOKEN, --token-file) where it asks " +
	"for tokens. --store opens the store itself, as the first token needs it: an SQLite file while its broker is stopped, " +
	"PostgreSQL at any time."

// lifetime is how long a token is valid: like a duration, and with d for days.
type lifetime time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *lifetime) UnmarshalText(text []byte) error {
	var a age
	err := a.UnmarshalText(text)
	life := time.Duration(a)
	if err != nil || life < time.Second || life > service.MaxTokenLife {
		return fmt.Errorf("%q is not a time for a token to live: write 90d, 12h or 30m", text)
	}
	*l = lifetime(life.Truncate(time.Second))
	return nil
}

// tokensCreateCommand is `topiq tokens create`. What a token is to be is never taken from the
// environment, which is there for every command.
type tokensCreateCommand struct {
	tokensFlags
	Name  string   `env:"-" required:"" placeholder:"NAME" help:"For whom it is. Several tokens may have the same name, so that one can follow another."`
	Scope []string `env:"-" required:"" placeholder:"SCOPE" help:"What it allows: produce:PATTERN, consume:PATTERN or admin, and more than one of them. A pattern is the name of a topic, or the beginning of names with * behind it."`
	tokenQuotaFlags
	Expires lifetime `env:"-" placeholder:"TIME" help:"How long it is valid, such as 90d or 12h. Without this it does not end until it is revoked."`
}

// Help says more than the help of the flags; kong calls it.
func (*tokensCreateCommand) Help() string { return tokensHelp }

// Run makes the token.
func (c *tokensCreateCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, true, func(ctx context.Context, keeper tokenKeeper) error {
		token, text, err := keeper.create(ctx, client.NewToken{Name: c.Name, Scopes: c.Scope, Life: time.Duration(c.Expires), Quota: c.quota()})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(s.out, text); err != nil {
			return errors.Join(fmt.Errorf("nobody has seen the token %s: revoke it", token.ID), err)
		}
		_, _ = fmt.Fprintf(s.err, "token %s for %s: %s; it ends: %s; it is not shown again\n",
			token.ID, token.Name, strings.Join(token.Scopes, " "), orNever(token.ExpiresAt))
		return nil
	})
}

// tokensListCommand is `topiq tokens list`.
type tokensListCommand struct {
	tokensFlags
	JSON bool `name:"json" help:"Write each token as one line of JSON."`
}

// Help says more than the help of the flags; kong calls it.
func (*tokensListCommand) Help() string { return tokensHelp }

// tokenLine is what `topiq tokens list --json` writes.
type tokenLine struct {
	TokenID   string         `json:"token_id"`
	Name      string         `json:"name"`
	Scopes    []string       `json:"scopes"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty"`
	RevokedAt *time.Time     `json:"revoked_at,omitempty"`
	Quota     tokenQuotaLine `json:"quota,omitzero"`
}

// Run lists the tokens.
func (c *tokensListCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, false, func(ctx context.Context, keeper tokenKeeper) error {
		tokens, err := keeper.list(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			lines := newLines(s.out)
			for i := range tokens {
				t := &tokens[i]
				line := tokenLine{TokenID: t.ID, Name: t.Name, Scopes: t.Scopes, CreatedAt: t.CreatedAt, Quota: tokenQuotaLine(t.Quota)}
				if !t.ExpiresAt.IsZero() {
					line.ExpiresAt = &t.ExpiresAt
				}
				if !t.RevokedAt.IsZero() {
					line.RevokedAt = &t.RevokedAt
				}
				if err := lines.Encode(line); err != nil {
					return err
				}
			}
			return nil
		}
		rows := [][]string{{"ID", "NAME", "SCOPES", "CREATED", "ENDS", "REVOKED", "QUOTAS"}}
		for i := range tokens {
			t := &tokens[i]
			rows = append(rows, []string{
				t.ID, t.Name, strings.Join(t.Scopes, ","), stamp(t.CreatedAt), orNever(t.ExpiresAt), orNever(t.RevokedAt), quotasOf(t.Quota),
			})
		}
		return writeTable(s.out, rows)
	})
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return stamp(t)
}

// tokensRevokeCommand is `topiq tokens revoke`.
type tokensRevokeCommand struct {
	tokensFlags
	IDs []string `arg:"" name:"id" help:"Ids of the tokens, as topiq tokens list writes them."`
}

// Help says more than the help of the flags; kong calls it.
func (*tokensRevokeCommand) Help() string {
	return tokensHelp + " A broker that is asked refuses the token at once, every other one on the store within ten seconds."
}

// Validate refuses a secret, without a word of it; kong calls it.
func (c *tokensRevokeCommand) Validate() error {
	if slices.ContainsFunc(c.IDs, service.LooksLikeToken) {
		return errors.New("give the id of the token, which is between its first two _, and not the token itself")
	}
	return nil
}

// Run revokes the tokens.
func (c *tokensRevokeCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, false, func(ctx context.Context, keeper tokenKeeper) error {
		var failures []error
		for _, id := range c.IDs {
			found, err := keeper.revoke(ctx, id)
			switch {
			case err != nil:
				failures = append(failures, fmt.Errorf("token %s: %w", id, err))
			case !found:
				failures = append(failures, fmt.Errorf("no token has the id %s", id))
			default:
				if _, err := fmt.Fprintf(s.out, "token %s is revoked\n", id); err != nil {
					return err
				}
			}
		}
		return errors.Join(failures...)
	})
}
