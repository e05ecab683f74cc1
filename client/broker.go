package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
)

// Durability is what an answered message survives.
type Durability string

// The classes of durability.
const (
	DurabilityMemory     Durability = "memory"     // nothing but the client's own crash
	DurabilityFsync      Durability = "fsync"      // also a crash of the broker and of its machine
	DurabilityReplicated Durability = "replicated" // also the loss of that machine
)

// Info is what a broker says about itself.
type Info struct {
	Version    string
	Engine     string // memory, sqlite or postgres
	Durability Durability
	// Limits are the limits in force by their name in the contract, such as message_bytes. Each name ends
	// in its unit.
	Limits map[string]int64
	// Unsafe lists the settings in force that weaken safety.
	Unsafe []string
}

// Info asks the broker for its version, engine, durability and limits.
func (c *Client) Info(ctx context.Context) (Info, error) {
	r, err := read(ctx, c, "info",
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.Info(ctx) },
		func(r *wire.InfoResult) error { return answered(r.Status) })
	if err != nil {
		return Info{}, err
	}
	return Info{
		Version: r.Version, Engine: r.Engine, Durability: Durability(r.Durability),
		Limits: limitsByName(&r.Limits), Unsafe: r.Unsafe,
	}, nil
}

// Health asks once, without retries, whether the broker's process serves requests.
func (c *Client) Health(ctx context.Context) error {
	_, err := exchange(ctx, c, operation{name: "health"},
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.Health(ctx) },
		func(r *wire.HealthResult) error { return answered(r.Status) })
	return err
}

// Ready asks once, without retries, whether the broker can work: its store answers, and it is neither
// starting nor stopping. Errors: [ErrUnavailable], [ErrOverloaded].
func (c *Client) Ready(ctx context.Context) error {
	_, err := exchange(ctx, c, operation{name: "ready"},
		func(ctx context.Context, to *broker) (*http.Response, error) { return to.Ready(ctx) },
		func(r *wire.HealthResult) error { return answered(r.Status) })
	return err
}

// limitsByName lists the limits under their names on the wire, so that a new one needs nothing here.
func limitsByName(limits *wire.Limits) map[string]int64 {
	byName := make(map[string]int64)
	if raw, err := json.Marshal(limits); err == nil {
		_ = json.Unmarshal(raw, &byName) // integers only
	}
	return byName
}
