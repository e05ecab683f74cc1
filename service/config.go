package service

import (
	"crypto/rand"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"time"
)

// Config is what a broker can be told. The zero value works.
type Config struct {
	// Limits are the maxima; zero fields are the defaults of contract section 3.
	Limits Limits
	// Logger gets one line for each surprising event. Default: nowhere.
	Logger *slog.Logger
	// Observer is told of each group. Default: nobody.
	Observer Observer
	// Tracer follows single requests into their groups. Default: nobody, which costs nothing.
	Tracer Tracer
	// Now is the clock that stamps messages and looks up times, and that retention by age and the forgetting of
	// unused registrations go by; nothing else depends on it (P14).
	Now func() time.Time
	// NewToken makes incarnations: random text, never the same twice.
	NewToken func() string
	// Secrets is what the secrets of tokens are made of. Default: that of the system.
	Secrets io.Reader
	// FlushInterval is how long a lazy commit of a position may wait. Default 500 ms, at most 1 s.
	FlushInterval time.Duration
	// PollInterval is how often the heads of topics somebody waits on are read where other brokers
	// may append; of more than 1,000 topics a part each time, so that each is read every five times. Default 200 ms.
	PollInterval time.Duration
	// SweepInterval is how often rows that nothing leads to any more are looked for: of deleted topics, and
	// below first offsets. Default 60 s.
	SweepInterval time.Duration
	// RetentionInterval is how often is looked for what topics need not keep any more. Default 10 s.
	RetentionInterval time.Duration
	// ForgetUnusedAfter is how long an anonymous producer or consumer must be unused to be forgotten. 0 is
	// never; at least a minute.
	ForgetUnusedAfter time.Duration
	// Random draws from 0 to 1, by which brokers on one store do their rounds at different times.
	Random func() float64
	// ResolveFor is how long the broker looks for the outcome of a commit that nobody knows, before it
	// answers outcome_unknown (P9). Default 40 s.
	ResolveFor time.Duration
	// CachedTopics bounds the topics, and CachedConsumers the consumers, that are known without
	// asking the store. Default 100,000 each.
	CachedTopics, CachedConsumers int
}

// trusted is how long a cached incarnation or position is good for (P12, contract section 4).
const trusted = time.Second

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewToken == nil {
		c.NewToken = rand.Text
	}
	if c.Secrets == nil {
		c.Secrets = rand.Reader
	}
	orDefault(&c.FlushInterval, 500*time.Millisecond)
	c.FlushInterval = min(c.FlushInterval, trusted)
	orDefault(&c.PollInterval, 200*time.Millisecond)
	orDefault(&c.SweepInterval, time.Minute)
	orDefault(&c.RetentionInterval, 10*time.Second)
	if c.ForgetUnusedAfter > 0 {
		c.ForgetUnusedAfter = max(c.ForgetUnusedAfter, time.Minute)
	}
	if c.Random == nil {
		c.Random = mathrand.Float64
	}
	orDefault(&c.ResolveFor, defaultResolveFor)
	orDefault(&c.CachedTopics, 100_000)
	orDefault(&c.CachedConsumers, 100_000)
	return c
}
