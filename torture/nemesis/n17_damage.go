package nemesis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/server"
)

// damage is one thing that is done to a copy of a store.
type damage struct {
	name string
	do   func(r *Round, file string) error
}

func damages() []damage {
	all := []damage{
		{name: "the file is empty", do: func(_ *Round, file string) error { return os.Truncate(file, 0) }},
		{name: "the file has half a header", do: func(_ *Round, file string) error { return os.Truncate(file, 50) }},
		{name: "the file ends after its first page", do: func(_ *Round, file string) error { return os.Truncate(file, 4096) }},
		{name: "the file is cut within a page", do: func(r *Round, file string) error { return r.truncate(file, 1) }},
		{name: "the file is cut between pages", do: func(r *Round, file string) error { return r.truncate(file, 4096) }},
		{name: "the file is gone, and its WAL is there", do: func(_ *Round, file string) error { return os.Remove(file) }},
		{name: "the WAL is gone", do: func(_ *Round, file string) error { return removeFile(file + "-wal") }},
		{name: "the WAL is cut", do: func(r *Round, file string) error { return r.truncate(file+"-wal", 1) }},
		{name: "the WAL is full of zeros", do: func(_ *Round, file string) error { return zero(file + "-wal") }},
	}
	for range 8 {
		all = append(all,
			damage{name: "a bit of the file is flipped", do: func(r *Round, file string) error { return r.flip(file) }},
			damage{name: "a bit of the WAL is flipped", do: func(r *Round, file string) error { return r.flip(file + "-wal") }},
		)
	}
	return all
}

// truncate cuts a file at a random multiple.
func (r *Round) truncate(path string, multiple int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, 1+r.Rand.Int64N(max(info.Size()/multiple-1, 1))*multiple)
}

// flip flips one bit.
func (r *Round) flip(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return fmt.Errorf("%s is empty: there is no bit to flip", path)
	}
	content[r.Rand.IntN(len(content))] ^= 1 << r.Rand.IntN(8)
	return os.WriteFile(path, content, 0o600)
}

func zero(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, make([]byte, info.Size()), 0o600)
}

// What a broker made of a damaged store.
const (
	verdictRefused  = "refused"         // it did not start
	verdictLoud     = "loud"            // a read failed
	verdictHarmless = "harmless"        // everything was as before
	verdictLost     = "silently_lost"   // less than before, and nobody said so
	verdictChanged  = "silently_change" // something else than before
)

// damageAll damages copies of a store in every way and looks at what a broker makes of each.
func (r *Round) damageAll(ctx context.Context, kept string) error {
	// The broker that looks changes what it looks at.
	looked := r.Path("whole.db")
	if err := copyStore(kept, looked); err != nil {
		return err
	}
	whole, verdict, err := r.look(ctx, looked, nil)
	if err != nil {
		return err
	}
	if whole == nil {
		return fmt.Errorf("the copy that was not damaged was %s", verdict)
	}
	for i, d := range damages() {
		file := r.Path(fmt.Sprintf("damaged%d.db", i))
		if err := copyStore(kept, file); err != nil {
			return err
		}
		if err := d.do(r, file); err != nil {
			return err
		}
		r.FaultsMade(1)
		_, verdict, err := r.look(ctx, file, whole)
		if err != nil {
			return err
		}
		r.Result.Extra[verdict]++
		if verdict == verdictLost || verdict == verdictChanged {
			r.Violation("I21: %s, and nobody noticed: %s", d.name, strings.ReplaceAll(verdict, "_", " "))
		}
	}
	return nil
}

// look starts a broker on a copy of a file and reads everything, through a broker that ends afterwards.
// Without a whole to compare with, it returns what it read.
func (r *Round) look(ctx context.Context, file string, whole *check.Final) (*check.Final, string, error) {
	b, err := server.NewBroker(server.BrokerConfig{
		Program: r.Env.Topiq, Store: "sqlite:" + file, Dir: r.Dir, Name: strings.TrimSuffix(filepath.Base(file), ".db"),
	})
	if err != nil {
		return nil, "", err
	}
	if err := b.Start(ctx); err != nil {
		return nil, verdictRefused, ctx.Err()
	}
	defer b.Kill()
	// A topic that is damaged answers internal, for ever: that is loud enough within two seconds.
	brief, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	final, err := check.ReadFinal(brief, []string{b.URL()}, r.topics())
	if err != nil {
		return nil, verdictLoud, ctx.Err()
	}
	if whole == nil {
		return final, verdictHarmless, nil
	}
	return final, compare(whole, final), nil
}

// compare says how what was read from a damaged store differs from what was there.
func compare(whole, final *check.Final) string {
	verdict := verdictHarmless
	for name, topic := range whole.Topics {
		damaged := final.Topics[name]
		if damaged == nil {
			return verdictLost
		}
		was, is := topic.Contents[0], damaged.Contents[0]
		n := min(len(was.Messages), len(is.Messages))
		switch {
		case !slices.Equal(was.Messages[:n], is.Messages[:n]) || len(is.Messages) > n:
			return verdictChanged
		case len(was.Messages) > n && was.Incarnation == is.Incarnation:
			verdict = verdictLost
		}
	}
	return verdict
}
