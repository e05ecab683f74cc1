package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// target is what the project has set itself. judge says how far the results got; measured is false where
// the rows it needs were not measured.
type target struct {
	what, want string
	judge      func(found) (got string, met, measured bool)
}

// found are the results, looked up by engine and name.
type found []result

func (f found) row(engine, name string) *result {
	i := slices.IndexFunc(f, func(r result) bool { return r.row.engine == engine && r.row.name == name && r.err == nil })
	if i < 0 {
		return nil
	}
	return &f[i]
}

// leastOfOneTopic is what a thousand topics should reach of the rate of one.
const leastOfOneTopic = 0.80

// The most that is met where less is better: bytes for each client, slowing down, memory, time.
const (
	mostPollerKB   = 20
	mostSlower     = 1.2
	mostMemoryMB   = 512
	mostStartMS    = 300
	mostEndToEnd   = 3
	largeTopicNear = 0.10
)

// targets are the rows of the second table.
func targets() []target {
	return []target{
		atLeast("produce, 1 message a request, 64 connections, memory", "memory", "produce-64", "empty handler", 0.85),
		atLeast("the same, PostgreSQL, producers with names", "postgres", "produce-64", "empty handler", 0.60),
		atLeast("the same, SQLite", "sqlite", "produce-64", "empty handler", 0.60),
		atLeast("produce in batches of 100, 16 connections, PostgreSQL", "postgres", "batch-100", "COPY", 0.60),
		{"256 connections, PostgreSQL: rate over 1,000 topics ÷ rate over 1 topic", fmt.Sprintf("≥ %.2f", leastOfOneTopic), manyTopics},
		atLeast("plain consume, 64 consumers, PostgreSQL", "postgres", "consume-1", "empty handler", 0.50),
		atLeast("consume by offset near the end, batches of 100, PostgreSQL", "postgres", "consume-offset-100", "empty handler", 0.80),
		atLeast("cold history in batches of 1,000, PostgreSQL", "postgres", "consume-history-1000", "SELECT", 0.70),
		endToEnd("sqlite"), endToEnd("postgres"),
		idlePollers("memory"), idlePollers("sqlite"), idlePollers("postgres"),
		largeTopic("sqlite"), largeTopic("postgres"),
		memory("memory"), memory("sqlite"), memory("postgres"),
		{"start to ready, SQLite file of 10^6 messages", "< 300 ms", coldStart},
	}
}

// atLeast is a target of a ratio to a limit.
func atLeast(what, engine, name, limit string, least float64) target {
	return target{what, fmt.Sprintf("≥ %.2f × %s", least, limit), func(f found) (string, bool, bool) {
		r := f.row(engine, name)
		if r == nil {
			return "", false, false
		}
		ratio, ok := r.report.ratio(limit)
		return ratio.text(), ratio.Median >= least, ok
	}}
}

func manyTopics(f found) (got string, met, measured bool) {
	r := f.row("postgres", "topics-in-turn")
	if r == nil || len(r.facts) == 0 {
		return "", false, false
	}
	return r.facts[0].text(), r.facts[0].value >= leastOfOneTopic, true
}

func endToEnd(engine string) target {
	what := "end to end by long poll at half load, " + nameOf(engine) + ": p99"
	return target{what, "≤ 3 × p99 of the bare commit", func(f found) (got string, met, measured bool) {
		r := f.row(engine, "end-to-end")
		if r == nil {
			return "", false, false
		}
		ratio, ok := r.report.ratio("bare commit")
		return ratio.text(), ratio.Median <= mostEndToEnd, ok
	}}
}

func idlePollers(engine string) target {
	what := "10,000 waiting long polls on 10,000 topics, " + nameOf(engine)
	return target{what, "≤ 20 KB each, produce p99 within 20 %", func(f found) (got string, met, measured bool) {
		r := f.row(engine, "idle-pollers")
		if r == nil || len(r.facts) < 2 {
			return "", false, false
		}
		each, slower := r.facts[0], r.facts[1]
		return each.text() + ", " + slower.text(), each.value <= mostPollerKB && slower.value <= mostSlower, true
	}}
}

func largeTopic(engine string) target {
	what := "a topic of 10^4 against one of 10^7 messages, " + nameOf(engine)
	return target{what, "rates within 10 %", func(f found) (got string, met, measured bool) {
		r := f.row(engine, "large-topic")
		if r == nil || len(r.facts) == 0 {
			return "", false, false
		}
		met = true
		var texts []string
		for _, fact := range r.facts {
			texts = append(texts, fact.text())
			met = met && fact.value >= 1-largeTopicNear && fact.value <= 1+largeTopicNear
		}
		return strings.Join(texts, ", "), met, true
	}}
}

func memory(engine string) target {
	return target{"memory under full load, default settings, " + nameOf(engine), "< 512 MB", func(f found) (got string, met, measured bool) {
		r := f.row(engine, "resident-memory")
		if r == nil || len(r.facts) == 0 {
			return "", false, false
		}
		return r.facts[0].text(), r.facts[0].value < mostMemoryMB, true
	}}
}

func coldStart(f found) (got string, met, measured bool) {
	r := f.row("sqlite", "cold-start")
	if r == nil || len(r.facts) == 0 {
		return "", false, false
	}
	return r.facts[0].text(), r.facts[0].value < mostStartMS, true
}

func (s spread) text() string {
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

func twoDigits(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// nameOf is an engine as documents call it.
func nameOf(engine string) string {
	switch engine {
	case "sqlite":
		return "SQLite"
	case "postgres":
		return "PostgreSQL"
	default:
		return engine
	}
}
