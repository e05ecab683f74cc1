package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// endToEndBy finds out what the producers can do, and measures at half of it.
func endToEndBy(receive string) func(context.Context, *measurement, *result) error {
	return func(ctx context.Context, m *measurement, r *result) error {
		store, err := m.store(ctx, r.row.engine)
		if err != nil {
			return err
		}
		const connections = "--connections=16"
		full, err := m.topiqBench(ctx, "--store="+store, connections)
		if err != nil {
			return err
		}
		r.report, err = m.topiqBench(ctx, "--store="+store, "--end-to-end", "--receive="+receive, connections, "--limit",
			"--rounds="+strconv.Itoa(m.options.Rounds), "--rate="+strconv.FormatFloat(full.Topiq.MessageRate/2, 'f', 0, 64))
		return err
	}
}

// measureLargeTopic measures two topics on one broker in turn.
func measureLargeTopic(ctx context.Context, m *measurement, r *result) error {
	return m.withBroker(ctx, r.row.engine, func(b *broker) error {
		sizes := []struct{ prefix, messages string }{{"small", "10000"}, {"large", "10000000"}}
		for _, size := range sizes {
			if _, err := m.kept(ctx, b, size.prefix, "--consume", "--way=offset", "--connections=1", "--batch=100", "--preload="+size.messages); err != nil {
				return err
			}
		}
		ways := map[string][]string{
			"produce": {"--connections=16"},
			"consume": {"--consume", "--way=offset", "--batch=100", "--connections=16", "--preload=1"},
		}
		for _, way := range []string{"produce", "consume"} {
			small := func() (report, error) { return m.kept(ctx, b, "small", ways[way]...) }
			large := func() (report, error) { return m.kept(ctx, b, "large", ways[way]...) }
			ratios, err := m.inTurn(large, small)
			if err != nil {
				return err
			}
			r.facts = append(r.facts, factOf(way+" rate, large ÷ small", "", ratios))
		}
		return nil
	})
}

// measureManyTopics measures as many connections on a thousand topics and on one, in turn.
func measureManyTopics(ctx context.Context, m *measurement, r *result) error {
	return m.withBroker(ctx, r.row.engine, func(b *broker) error {
		on := func(topics string) func() (report, error) {
			return func() (report, error) {
				return m.kept(ctx, b, "of-"+topics, "--connections=256", "--topics="+topics)
			}
		}
		ratios, err := m.inTurn(on("1000"), on("1"))
		r.facts = append(r.facts, factOf("produce rate, 1,000 topics ÷ 1", "", ratios))
		return err
	})
}

// kept is a run on a broker that goes on with the topics that the last one with its prefix has left.
func (m *measurement) kept(ctx context.Context, b *broker, prefix string, args ...string) (report, error) {
	return m.topiqBench(ctx, append([]string{"--url=" + b.url, "--prefix=" + prefix, "--keep"}, args...)...)
}

// inTurn returns the rate of one run divided by that of another, for each round.
func (m *measurement) inTurn(one, other func() (report, error)) (ratios []float64, err error) {
	for range m.options.Rounds {
		under, err := other()
		if err != nil {
			return nil, err
		}
		over, err := one()
		if err != nil {
			return nil, err
		}
		ratios = append(ratios, over.Topiq.MessageRate/under.Topiq.MessageRate)
	}
	return ratios, nil
}

// measureColdStart measures the start of a broker on a file that it has not made. The file may be in the memory of the
// operating system.
func measureColdStart(ctx context.Context, m *measurement, r *result) error {
	store, err := m.store(ctx, r.row.engine)
	if err != nil {
		return err
	}
	const preload = "--preload=1000000"
	if _, err := m.topiqBench(ctx, "--store="+store, "--consume", "--way=offset", "--connections=1", preload, "--keep"); err != nil {
		return err
	}
	var values []float64
	for range m.options.Rounds {
		began := time.Now()
		b, err := m.serve(ctx, store)
		if err != nil {
			return err
		}
		values = append(values, float64(time.Since(began).Microseconds())/1000)
		if err := b.stop(); err != nil {
			return err
		}
	}
	r.facts = append(r.facts, factOf("start to ready", "ms", values))
	return nil
}

// measureMemory measures the most memory a broker has used when it was under two kinds of load: many small requests,
// and few large ones.
func measureMemory(ctx context.Context, m *measurement, r *result) error {
	return m.withBroker(ctx, r.row.engine, func(b *broker) error {
		for _, args := range [][]string{
			{"--connections=256"},
			{"--connections=64", "--batch=100", "--payload-bytes=10000", "--topics=8"},
		} {
			// A broker that keeps messages in memory needs as much for them as there are.
			if r.row.engine == "memory" {
				args = append(args, "--rate=2000")
			}
			if _, err := m.topiqBench(ctx, append([]string{"--url=" + b.url}, args...)...); err != nil {
				return err
			}
		}
		most, err := b.status("VmHWM")
		r.facts = append(r.facts, factOf("most memory", "MB", []float64{most / 1000}))
		return err
	})
}

// withBroker calls a function with a broker of an engine.
func (m *measurement) withBroker(ctx context.Context, engine string, call func(*broker) error) error {
	store, err := m.store(ctx, engine)
	if err != nil {
		return err
	}
	b, err := m.serve(ctx, store, m.profile(engine)...)
	if err != nil {
		return err
	}
	return errors.Join(call(b), b.stop())
}

// profile are the arguments with which a broker writes a profile, if that was asked for.
func (m *measurement) profile(engine string) []string {
	if m.options.Profiles == "" {
		return nil
	}
	return []string{"--cpu-profile=" + filepath.Join(m.options.Profiles, fmt.Sprintf("%s-%d.prof", engine, m.stores))}
}

// factOf is the median of what rounds have measured.
func factOf(name, unit string, values []float64) fact {
	slices.Sort(values)
	n := len(values)
	f := fact{name: name, unit: unit, value: (values[(n-1)/2] + values[n/2]) / 2}
	if n > 1 {
		f.low, f.high = values[0], values[n-1]
	}
	return f
}

// text is a fact for people.
func (f fact) text() string {
	digits := 2
	if f.value >= 100 {
		digits = 0
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	s := number(f.value)
	if f.high > 0 {
		s = fmt.Sprintf("%s (%s–%s)", s, number(f.low), number(f.high))
	}
	if f.unit != "" {
		s += " " + f.unit
	}
	return f.name + " " + s
}
