// Package db picks a store by its URL.
package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/sqlite"
	"github.com/topiq/topiq/service"
)

// Config has the settings of a store. The zero Config works with every engine; one that an engine
// does not have is refused rather than ignored.
type Config struct {
	// Logger gets what an operator must see. Default: nowhere.
	Logger *slog.Logger
	// UnsafeDurability accepts a PostgreSQL server whose settings may lose what was acknowledged.
	UnsafeDurability bool
	// Replicated is the operator's word that a PostgreSQL server has a synchronous standby (P13).
	Replicated bool
	// MaxConns bounds the connections to PostgreSQL. 0 is the engine's default.
	MaxConns int
	// Lanes is how many groups PostgreSQL may be committing at a time (P7). 0 is the engine's default.
	Lanes int
}

// forms is what every refusal of a URL ends with.
const forms = "use memory: (everything is lost with the process), sqlite:FILE, or postgres://USER@HOST/DATABASE"

// Open opens the store at a URL: memory:, sqlite:FILE or postgres://… (also postgresql://…). No
// error it returns shows a password.
func Open(ctx context.Context, storeURL string, c Config) (service.Store, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	scheme, rest, found := strings.Cut(storeURL, ":")
	if !found {
		scheme = ""
	}
	switch strings.ToLower(scheme) {
	case "memory":
		return openMemory(rest, c)
	case "sqlite":
		return openSQLite(ctx, rest, c)
	case "postgres", "postgresql":
		return openPostgres(ctx, storeURL, c)
	default:
		return nil, fmt.Errorf("%q is not a store: %s", Redact(storeURL), forms)
	}
}

func openMemory(rest string, c Config) (service.Store, error) {
	if rest != "" {
		return nil, fmt.Errorf("nothing may follow memory: in the address of a store; %s", forms)
	}
	if err := c.refusePostgresOnly("memory:"); err != nil {
		return nil, err
	}
	return memory.New(memory.Config{}), nil
}

func openSQLite(ctx context.Context, path string, c Config) (service.Store, error) {
	switch {
	case path == "":
		return nil, fmt.Errorf("sqlite: needs the name of a file; %s", forms)
	case path == ":memory:":
		return nil, fmt.Errorf("a store in SQLite is a file; %s", forms)
	case strings.HasPrefix(path, "//"):
		// Some programs take sqlite:///x for the file x, others for /x. A guess would quietly
		// begin a new, empty store.
		return nil, fmt.Errorf("write sqlite:%s for a file there, without //; %s", "/"+strings.TrimLeft(path, "/"), forms)
	}
	if err := c.refusePostgresOnly("sqlite:"); err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, path, sqlite.Config{Logger: c.Logger})
	if err != nil {
		return nil, fmt.Errorf("open the store sqlite:%s: %w", path, err)
	}
	return store, nil
}

func openPostgres(ctx context.Context, storeURL string, c Config) (service.Store, error) {
	// The driver, and package url too, quote what they cannot read, and that may be half a password.
	address, _, _ := strings.Cut(storeURL, "?")
	u, err := url.Parse(storeURL)
	if err != nil || strings.Contains(u.Path, "@") || strings.Count(address, "@") > 1 {
		return nil, fmt.Errorf("%s is not a URL: in a user or password write %%40 for @, %%2F for /, "+
			"%%3A for :, %%3F for ?, %%23 for #, %%25 for %%", Redact(storeURL))
	}
	store, err := postgres.Open(ctx, storeURL, postgres.Config{
		Logger: c.Logger, UnsafeDurability: c.UnsafeDurability, Replicated: c.Replicated,
		MaxConns: c.MaxConns, Lanes: c.Lanes,
	})
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", Redact(storeURL), err)
	}
	return store, nil
}

// Backup writes a consistent copy of an SQLite store to a file that must not exist yet. A broker may
// have the store open. Other engines have ways of their own.
func Backup(ctx context.Context, storeURL, to string) error {
	scheme, path, _ := strings.Cut(storeURL, ":")
	switch strings.ToLower(scheme) {
	case "sqlite":
	case "postgres", "postgresql":
		return errors.New("PostgreSQL has ways of its own to make a backup: pg_dump, pg_basebackup")
	default:
		return fmt.Errorf("the store %s has no file to copy", Redact(storeURL))
	}
	if err := sqlite.Backup(ctx, path, to); err != nil {
		return fmt.Errorf("copy the store %s: %w", Redact(storeURL), err)
	}
	return nil
}

// refusePostgresOnly refuses settings that the other engines do not have: whoever asks for a
// replicated store must not get one that is not.
func (c Config) refusePostgresOnly(engine string) error {
	for setting, on := range map[string]bool{
		"unsafe-durability": c.UnsafeDurability, "replicated": c.Replicated,
		"max-conns": c.MaxConns != 0, "lanes": c.Lanes != 0,
	} {
		if on {
			return fmt.Errorf("%s is a setting of PostgreSQL; the store %s does not have it", setting, engine)
		}
	}
	return nil
}

// hidden stands where a password was.
const hidden = "xxxxx"

// Redact returns the URL of a store without its passwords, for people to read. Where a URL is
// written wrongly it rather hides too much.
func Redact(storeURL string) string {
	scheme, rest, found := strings.Cut(storeURL, "://")
	if !found {
		return redactOther(storeURL)
	}
	rest, query, _ := strings.Cut(rest, "?")
	// A password may hold an @ or a / that should have been escaped, hence the last @.
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, secret := strings.Cut(rest[:at], ":")
		if secret {
			user += ":" + hidden
		}
		rest = user + rest[at:]
	}
	if query == "" {
		return scheme + "://" + rest
	}
	var shown []string
	for parameter := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		switch {
		case isSecret(name):
			parameter = name + "=" + hidden
		case strings.Contains(parameter, "@"):
			// The ? was a part of the password.
			return scheme + "://" + hidden + parameter[strings.LastIndex(parameter, "@"):]
		}
		shown = append(shown, parameter)
	}
	return scheme + "://" + rest + "?" + strings.Join(shown, "&")
}

// redactOther is for what is no URL with a host: the name of a file, or a mistake, such as the
// address of a store in the form of another program.
func redactOther(storeURL string) string {
	if scheme, _, _ := strings.Cut(storeURL, ":"); strings.EqualFold(scheme, "sqlite") {
		return storeURL
	}
	if isSecret(storeURL) {
		return hidden
	}
	if at := strings.LastIndex(storeURL, "@"); at >= 0 {
		return hidden + storeURL[at:]
	}
	return storeURL
}

func isSecret(parameter string) bool {
	name, err := url.QueryUnescape(parameter)
	return err != nil || strings.Contains(strings.ToLower(name), "password")
}
