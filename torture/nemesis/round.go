package nemesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/topiq/topiq/torture/report"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

// Env is what all rounds of a run share.
type Env struct {
	Topiq    string                 // the binary, built with the fault points
	Mistaken string                 // likewise, with the classic mistakes; empty unless they are tried
	Mistake  string                 // the mistake to make in every broker, empty for none
	Settings []string               // more settings of every PostgreSQL server, for mistakes of settings
	Short    bool                   // the short programme: fewer faults in each round
	Template string                 // a data directory made by initdb, to copy
	Old      func() (string, error) // builds the earlier version, once
	Versions report.Versions
	Log      *slog.Logger
}

// Round gives a nemesis everything. It is used by one goroutine, but for the workloads.
type Round struct {
	Env    *Env
	Rand   *rand.Rand
	Seed   uint64
	Dir    string // of this round alone; short enough for sockets, and others may enter it
	Engine string
	Log    *slog.Logger
	Result report.Result

	brokers   []*server.Broker
	postgres  []*server.Postgres
	store     string
	workloads []*workload.Workload
	cut       bool

	faults, idle int
	before       float64   // produces a second before the first fault, negative before it
	ended        time.Time // of the last fault
	baseline     []held
	cleanups     []func()
}

// NewRound prepares a round of a nemesis.
func NewRound(env *Env, n *Nemesis, engine string, seed uint64, dir string) *Round {
	return &Round{
		Env: env, Seed: seed, Dir: dir, Engine: engine, cut: n.Cut, before: -1,
		Rand: rand.New(rand.NewPCG(seed, 0)),
		Log:  env.Log.With("nemesis", n.ID, "engine", engine, "seed", seed),
		Result: report.Result{
			Nemesis: n.ID, Name: n.Name, Engine: engine, Seed: seed, FaultName: n.Faults,
			Mistake: env.Mistake, Versions: env.Versions, Extra: map[string]float64{},
		},
	}
}

// Times is how often a round does something: n times, and half as often in the short programme.
func (r *Round) Times(n int) int {
	if r.Env.Short {
		return max(n/2, 1)
	}
	return n
}

// Cleanup calls f when the round is over; the last one first.
func (r *Round) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// close ends everything that still runs.
func (r *Round) close() {
	for _, w := range r.workloads {
		w.Stop(0)
	}
	for _, b := range r.brokers {
		_ = b.Unfreeze()
		b.Kill()
	}
	for _, p := range r.postgres {
		p.Thaw()
		_ = p.Stop("immediate")
		p.Release()
	}
	for i := range r.cleanups {
		r.cleanups[len(r.cleanups)-1-i]()
	}
}

// Run makes the round and fills its Result, whatever happens.
func (r *Round) Run(ctx context.Context, n *Nemesis) {
	r.Result.Begun = time.Now().UTC().Truncate(time.Second)
	begun := time.Now()
	err := r.guarded(ctx, n)
	r.close()
	r.Result.Seconds = time.Since(begun).Seconds()
	r.Result.Faults, r.Result.Idle = r.faults, r.idle
	if err != nil {
		r.Result.Error = err.Error()
	}
}

// guarded turns a panic of the nemesis into an error, so that nothing is left running.
func (r *Round) guarded(ctx context.Context, n *Nemesis) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the nemesis panicked: %v", p)
		}
	}()
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	return n.Round(ctx, r)
}

// BrokerOptions say how brokers are run.
type BrokerOptions struct {
	Args    []string // more flags
	Env     []string // more environment
	Store   string   // instead of the one of the round
	Program string   // instead of Env.Topiq
	Prefix  []string // before the program
}

// NewBroker prepares one broker on the store of the round, and starts nothing but a PostgreSQL
// server where one is needed and none was made.
func (r *Round) NewBroker(ctx context.Context, o BrokerOptions) (*server.Broker, error) {
	if o.Store == "" {
		store, err := r.Store(ctx)
		if err != nil {
			return nil, err
		}
		o.Store = store
	}
	if o.Program == "" {
		o.Program = r.Env.Topiq
		if r.Env.Mistake != "" && r.Env.Mistaken != "" {
			o.Program = r.Env.Mistaken
			o.Env = append([]string{"TOPIQ_MISTAKE=" + r.Env.Mistake}, o.Env...)
		}
	}
	if len(r.Env.Settings) > 0 {
		o.Args = append([]string{"--unsafe-durability"}, o.Args...)
	}
	b, err := server.NewBroker(server.BrokerConfig{
		Program: o.Program, Store: o.Store, Args: o.Args, Env: o.Env, Prefix: o.Prefix,
		Dir: r.Dir, Name: "broker" + strconv.Itoa(len(r.brokers)),
	})
	if err != nil {
		return nil, err
	}
	r.brokers = append(r.brokers, b)
	return b, nil
}

// Brokers starts n brokers on the store of the round.
func (r *Round) Brokers(ctx context.Context, n int, o BrokerOptions) ([]*server.Broker, error) {
	var list []*server.Broker
	for range n {
		b, err := r.NewBroker(ctx, o)
		if err != nil {
			return nil, err
		}
		if err := b.Start(ctx); err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	r.measureBaseline(ctx)
	return list, nil
}

// AllBrokers are those made so far.
func (r *Round) AllBrokers() []*server.Broker { return r.brokers }

// Store is the address of the round's store. On PostgreSQL it starts a server unless there is one.
func (r *Round) Store(ctx context.Context) (string, error) {
	if r.store != "" {
		return r.store, nil
	}
	switch r.Engine {
	case Memory:
		r.store = "memory:"
	case SQLite:
		r.store = "sqlite:" + filepath.Join(r.Dir, "topiq.db")
	default:
		if _, err := r.Postgres(ctx, PostgresOptions{}); err != nil {
			return "", err
		}
	}
	return r.store, nil
}

// UseStore makes brokers use another address, such as that of a proxy or of a file on an image. The
// checks read SQL where it leads, see AuditAt.
func (r *Round) UseStore(address string) { r.store = address }

// Database is the name of the database of the round on its PostgreSQL servers.
const Database = "topiq"

// PostgresOptions say how a PostgreSQL server is run.
type PostgresOptions struct {
	Data     string   // the data directory; default below Dir
	TCP      bool     // also listen on a port
	Settings []string // name=value
	Env      []string
	Fresh    bool // a new system identifier rather than a copy of the template
	// Empty prepares the server only: no data directory is made and nothing is started.
	Empty bool
}

// Postgres starts a PostgreSQL server with an empty database for topiq, and makes it the store of the
// round if there is none yet.
func (r *Round) Postgres(ctx context.Context, o PostgresOptions) (*server.Postgres, error) {
	number := strconv.Itoa(len(r.postgres))
	config := server.PostgresConfig{
		Data: o.Data, Dir: filepath.Join(r.Dir, "pg"+number), Name: "postgres",
		Settings: append(append([]string{}, r.Env.Settings...), o.Settings...), Env: o.Env,
	}
	if config.Data == "" {
		config.Data = filepath.Join(config.Dir, "data")
	}
	if o.TCP {
		port, err := server.FreePort()
		if err != nil {
			return nil, err
		}
		config.Port = port
	}
	p, err := server.NewPostgres(config)
	if err != nil {
		return nil, err
	}
	r.postgres = append(r.postgres, p)
	if o.Empty {
		return p, nil
	}
	if r.Env.Template == "" || o.Fresh {
		err = p.Create(ctx)
	} else {
		err = p.CopyFrom(ctx, r.Env.Template)
	}
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	if err := p.Exec(ctx, "postgres", "CREATE DATABASE "+Database); err != nil {
		return nil, err
	}
	if r.store == "" {
		r.store = p.URL(Database)
	}
	return p, nil
}

// Workload starts clients on all brokers of the round (or on o.URLs) and waits until they are at
// work: a fault must find something to break.
func (r *Round) Workload(ctx context.Context, o workload.Options) (*workload.Workload, error) {
	if o.URLs == nil {
		for _, b := range r.brokers {
			o.URLs = append(o.URLs, b.URL())
		}
	}
	if o.Seed == 0 {
		o.Seed = r.Rand.Uint64()
	}
	if o.Prefix == "" {
		o.Prefix = "w" + strconv.Itoa(len(r.workloads))
	}
	if o.Recorder == nil && len(r.workloads) > 0 {
		o.Recorder = r.workloads[0].Recorder()
	}
	w, err := workload.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	r.workloads = append(r.workloads, w)
	return w, r.warm(ctx, w)
}

// warmUp is how long clients work before the first fault, at least.
const warmUp = 700 * time.Millisecond

// warm waits until the clients had a second or so in which they were answered at a steady rate.
func (r *Round) warm(ctx context.Context, w *workload.Workload) error {
	deadline := time.Now().Add(30 * time.Second)
	for w.Acked() < 20 {
		if time.Now().After(deadline) {
			return errors.New("the clients got 20 answers not even in 30 s")
		}
		if err := server.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	from := w.Recorder().Now()
	if err := server.Pause(ctx, warmUp); err != nil {
		return err
	}
	if r.before < 0 {
		r.Result.RateBefore = w.Rate(from, w.Recorder().Now())
	}
	return nil
}
