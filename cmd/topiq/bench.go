package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// benchCommand is `topiq bench`.
type benchCommand struct {
	URL []string `placeholder:"URL" help:"Address of a running broker, or of several on one store, which share the connections; http://127.0.0.1:8080 if neither this nor --store is given."`
	credentials
	tlsTrust
	Store string `env:"-" placeholder:"URL" help:"Start a broker for the run, as a process of its own, which keeps messages there: memory:, sqlite:FILE or postgres://USER@HOST/DATABASE."`

	Produce  bool `env:"-" xor:"mode" help:"Measure produce, which is what is done if nothing else is asked for."`
	Consume  bool `env:"-" xor:"mode" help:"Measure consume, as --way says."`
	EndToEnd bool `env:"-" xor:"mode" help:"Measure the time from sending a message to receiving it, as --receive says."`

	Way          string        `env:"-" default:"plain" enum:"plain,offset,history" help:"How --consume reads: plain (one message a request, and the position moves), offset (batches near the end of the topic) or history (batches from its beginning)."`
	Receive      string        `env:"-" default:"poll" enum:"poll,stream" help:"How --end-to-end receives: by long polls, or by a stream of Server-Sent Events."`
	Connections  int           `env:"-" default:"64" help:"Connections, each with one request at a time. Each is a producer, or a consumer, of its own."`
	Batch        int           `env:"-" default:"1" help:"Messages of one request; with --consume, most messages of one answer."`
	PayloadBytes int           `env:"-" default:"100" help:"Length of a message, in bytes."`
	Topics       int           `env:"-" default:"1" help:"Number of topics."`
	Rate         float64       `env:"-" default:"0" help:"Messages a second, of all connections together; 0 is as many as are answered."`
	Duration     time.Duration `env:"-" default:"10s" help:"How long is measured."`
	WarmUp       time.Duration `env:"-" default:"2s" help:"How long the load is on before it is measured."`
	Anonymous    bool          `env:"-" help:"Producers without a name: at least once instead of exactly once."`
	Preload      int           `env:"-" default:"100000" help:"With --consume: messages that are produced before, in all topics together."`

	Limit     bool     `env:"-" help:"With --store: measure what limits the broker too, in turn with it, and show the ratio."`
	Rounds    int      `env:"-" default:"0" help:"How many times to measure; 0 is 5 with --limit, otherwise 1."`
	Brokers   int      `env:"-" default:"1" help:"With --store=postgres: number of brokers."`
	ServeFlag []string `env:"-" sep:"none" placeholder:"FLAG" help:"With --store: a flag for topiq serve, such as --serve-flag=--lanes=8."`
	Profiles  string   `env:"-" placeholder:"DIR" help:"With --store: write there where each process that is started has spent its time, for go tool pprof."`
	Prefix    string   `env:"-" placeholder:"NAME" help:"What the names of the topics begin with, so that a later run finds those that --keep has left; random if missing."`
	Keep      bool     `env:"-" help:"Do not delete the topics of the run."`
	JSON      bool     `env:"-" help:"Write the figures as JSON."`
}

// Help is the longer part of the help text.
func (*benchCommand) Help() string {
	return "Puts load on a broker, in topics of its own, and shows messages and megabytes (10^6 bytes of payload) a second, and " +
		"how long requests took. Each answer is checked. Producers have names, so that each message is stored exactly once, unless " +
		"--anonymous. With --rate a request counts from when it was due, so that a stall is charged with all it has held up. " +
		"Figures of different machines, or of different times on a busy one, cannot be compared; --limit measures in turn with the broker " +
		"a server that only decodes the same requests and answers the same bytes (the empty handler), and, where the store is on disk, " +
		"what the database does without a broker. Load and broker share the processors of this machine, unless --url is elsewhere."
}

// Validate refuses what cannot work; kong calls it.
func (c *benchCommand) Validate() error {
	positive := map[string]int{
		"connections": c.Connections, "batch": c.Batch, "topics": c.Topics, "preload": c.Preload, "brokers": c.Brokers,
	}
	for name, value := range positive {
		if value < 1 {
			return fmt.Errorf("--%s must be at least 1", name)
		}
	}
	switch {
	case c.PayloadBytes < 0 || c.Rounds < 0 || c.Rate < 0:
		return errors.New("--payload-bytes, --rounds and --rate must not be negative")
	case c.Duration <= 0 || c.WarmUp < 0:
		return errors.New("--duration must be above 0, and --warm-up not below it")
	case len(c.URL) > 0 && c.Store != "":
		return errors.New("--url is a broker that runs and --store one that is started: give one of them")
	case c.Store == "" && (c.Limit || c.Brokers > 1 || len(c.ServeFlag) > 0 || c.Profiles != ""):
		return errors.New("--limit, --brokers, --serve-flag and --profiles need --store: they are for a broker that this command starts")
	case c.Brokers > 1 && !c.onPostgres():
		return errors.New("--brokers needs --store=postgres://…: only PostgreSQL can be shared by several brokers")
	case c.EndToEnd && c.PayloadBytes < stampDigits:
		return fmt.Errorf("--end-to-end needs --payload-bytes of at least %d, for the time of sending", stampDigits)
	case c.Way != "plain" && !c.Consume:
		return errors.New("--way is for --consume")
	case c.Receive != "poll" && !c.EndToEnd:
		return errors.New("--receive is for --end-to-end")
	case c.Consume && c.Way == "plain" && c.Batch > 1:
		return errors.New("a plain consume answers one message: --batch needs --way=offset or --way=history")
	}
	return nil
}

func (c *benchCommand) onPostgres() bool {
	scheme, _, _ := strings.Cut(c.Store, ":")
	return strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql")
}

// onDisk tells stores that sync what a commit has written.
func (c *benchCommand) onDisk() bool {
	return c.onPostgres() || strings.HasPrefix(c.Store, sqliteScheme)
}

// sqliteScheme is what the addresses of SQLite stores begin with.
const sqliteScheme = "sqlite:"

// mode is what is measured.
func (c *benchCommand) mode() string {
	switch {
	case c.EndToEnd && c.Receive == "stream":
		return "end-to-end stream"
	case c.EndToEnd:
		return "end-to-end"
	case c.Consume:
		return "consume " + c.Way
	default:
		return "produce"
	}
}

// rounds is how many times everything is measured.
func (c *benchCommand) rounds() int {
	switch {
	case c.Rounds > 0:
		return c.Rounds
	case c.Limit:
		return 5
	default:
		return 1
	}
}

// Run measures, and reports.
func (c *benchCommand) Run(ctx context.Context, s streams) error {
	b, err := c.begin(ctx)
	if err != nil {
		return err
	}
	r, err := b.measure(ctx, s)
	if ctx.Err() != nil {
		err = errors.New("interrupted: nothing is reported")
	}
	if err = errors.Join(err, b.end(ctx)); err != nil {
		return err
	}
	if c.JSON {
		return newLines(s.out).Encode(r)
	}
	return r.write(s.out)
}
