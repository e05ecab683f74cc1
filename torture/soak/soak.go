// Package soak loads a broker whose topic lets go of its oldest messages, and records what the store takes on disk
// over time. It shows that the space of what has gone is used again.
package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/topiq/topiq/torture/server"
)

// The engines that have a disk.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Config says what to do. Zero fields get the default.
type Config struct {
	Program   string        // the topiq binary
	Engine    string        // SQLite or Postgres
	Dir       string        // an empty directory for the store and the logs, with a short name
	For       time.Duration // 1 m
	Every     time.Duration // between two samples; a hundredth of For, at least 500 ms
	Producers int           // 4
	Batch     int           // messages of a request; 100
	Bytes     int           // of a message; 1,000
	Keep      int64         // max_messages of the topic; 20,000
}

func (c Config) withDefaults() Config {
	if c.For <= 0 {
		c.For = time.Minute
	}
	if c.Every <= 0 {
		c.Every = max(c.For/100, 500*time.Millisecond)
	}
	for _, field := range []struct {
		value *int
		or    int
	}{{&c.Producers, 4}, {&c.Batch, 100}, {&c.Bytes, 1000}} {
		if *field.value <= 0 {
			*field.value = field.or
		}
	}
	if c.Keep <= 0 {
		c.Keep = 20_000
	}
	return c
}

// Sample is what was seen at one moment.
type Sample struct {
	After    time.Duration
	Stored   int64 // messages ever stored
	Messages int64 // that can be read
	Bytes    int64 // of these
	Disk     int64 // bytes of all files of the store, but for the WAL
	WAL      int64 // bytes of the WAL
	Table    int64 // bytes of the messages with indexes and toast; 0 on SQLite
	Dead     int64 // dead rows of the messages; 0 on SQLite
}

// Run loads a broker and returns the samples. An error says that something failed, not that too much space was
// taken: for that see Grows.
func Run(ctx context.Context, c Config) (samples []Sample, err error) {
	c = c.withDefaults()
	s, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }() //nolint:contextcheck // it is closed whatever has ended
	b, err := server.NewBroker(server.BrokerConfig{
		Program: c.Program, Store: s.url, Args: []string{"--retention-interval=1s"}, Dir: c.Dir, Name: "broker",
	})
	if err != nil {
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	return load(ctx, c, s, newCaller(b.URL()))
}

// load produces until the time is over, and takes samples meanwhile.
func load(ctx context.Context, c Config, s *store, to *caller) ([]Sample, error) {
	if err := to.createTopic(ctx, c.Keep); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	failed := make(chan error, c.Producers)
	var all sync.WaitGroup
	for range c.Producers {
		all.Go(func() {
			if err := to.produce(ctx, c.Batch, c.Bytes); err != nil && ctx.Err() == nil {
				failed <- err
				cancel()
			}
		})
	}
	samples, err := sampleUntil(ctx, c, s, to)
	cancel()
	all.Wait()
	select {
	case first := <-failed:
		return nil, errors.Join(first, err)
	default:
		return samples, err
	}
}

func sampleUntil(ctx context.Context, c Config, s *store, to *caller) (samples []Sample, err error) {
	began := time.Now()
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples, nil
		case <-ticker.C:
		}
		sample := Sample{After: time.Since(began)}
		err := to.describe(ctx, &sample)
		if err == nil {
			err = s.measure(ctx, &sample)
		}
		if ctx.Err() != nil {
			return samples, nil
		}
		if err != nil {
			return samples, err
		}
		samples = append(samples, sample)
	}
}

// Grows says why the samples are not those of a store that uses space again, nil if they are: over the last third of
// them the store takes at most a third more than it did at most before. What grows evenly takes half as much again.
// Within a third it goes up and down with the vacuum, which comes when the server finds time for it.
func Grows(samples []Sample) error {
	n := len(samples)
	if n < 9 {
		return fmt.Errorf("%d samples are too few to tell", n)
	}
	most := func(part []Sample, of func(*Sample) int64) (m int64) {
		for i := range part {
			m = max(m, of(&part[i]))
		}
		return m
	}
	for what, of := range map[string]func(*Sample) int64{
		"the store": func(s *Sample) int64 { return s.Disk }, "the table": func(s *Sample) int64 { return s.Table },
	} {
		before, last := most(samples[:2*n/3], of), most(samples[2*n/3:], of)
		if last > before+before/3 {
			return fmt.Errorf("%s took up to %d bytes in the first two thirds and %d in the last", what, before, last)
		}
	}
	if last := samples[n-1]; last.Stored < 2*last.Messages {
		return fmt.Errorf("%d messages were stored and %d are kept: too few have gone to tell", last.Stored, last.Messages)
	}
	return nil
}

// sizeOf adds up the files below a directory.
func sizeOf(dir string, counts func(path string) bool) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || entry.IsDir() || !counts(path) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
