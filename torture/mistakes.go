package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/nemesis"
	"github.com/topiq/topiq/torture/report"
)

// mistake is a classic mistake, and who must catch it.
type mistake struct {
	name   string
	by     string // the nemesis
	engine string
	// sees are beginnings of the violations that show it. A round that is red for another reason has
	// not caught it.
	sees []string
	// setting is the setting of PostgreSQL that makes the mistake; else it is built into the broker.
	setting bool
	rounds  int // at most; default 10
}

// mistakeBudget bounds the time for one mistake.
const mistakeBudget = 10 * time.Minute

// allMistakes are those of package fault, and those that are settings of the server. Each name is
// what TOPIQ_MISTAKE takes.
func allMistakes() []mistake {
	const sqlite, postgres = nemesis.SQLite, nemesis.Postgres
	const stopped = "I21: broker" // an assertion of the broker has noticed it first
	loss := []string{stopped, "I1:", "I10:", "I14:", "I16:"}
	return []mistake{
		{name: "offset_from_sequence", by: "N15", engine: postgres, sees: []string{stopped, "I4:", "I5:", "I7:", "I8:", "I9:", "I16:"}},
		{name: "dedupe_before_lock", by: "N15", engine: postgres, sees: []string{"I3:", "I12:", "nothing was wrong"}},
		{name: "dedupe_in_one_statement", by: "N15", engine: postgres, sees: []string{"I3:", "I12:", "nothing was wrong"}},
		{name: "no_dedupe", by: "N7", engine: postgres, sees: []string{"I3:", "I12:"}},
		{name: "unknown_is_failure", by: "N7", engine: postgres, sees: []string{"I2:", "I3:", "nothing was wrong"}},
		{name: "duplicate_without_write", by: "N13", engine: postgres, sees: append([]string{"P8:"}, loss...)},
		{name: "commit_on_request_context", by: "N13", engine: postgres, sees: append([]string{"P8:"}, loss...)},
		{name: "xact_status_as_judge", by: "N2", engine: postgres, sees: loss, rounds: 20},
		{name: "ack_before_commit", by: "N1", engine: sqlite, sees: loss},
		{name: "consume_advances_at_read", by: "N1", engine: sqlite, sees: []string{"I11:", "I8:"}},
		{name: "epoch_not_checked", by: "N9", engine: sqlite, sees: []string{"I14:", "nothing was wrong"}},
		{name: "notify_only", by: "P12", engine: postgres, sees: []string{"a long poll for offset", "P12:", "I9:", "I16:"}},
		{name: "identity_ignored", by: "N14", engine: postgres, sees: append([]string{"P13", "I5:", "I8:"}, loss...)},
		{name: "invalid_utf8_replaced", by: "N21", engine: sqlite, sees: []string{"hostile request:"}},
		{name: "sqlite_synchronous_normal", by: "N4", engine: sqlite, sees: loss, rounds: 20},
		{name: "sqlite_delete_full", by: "N4", engine: sqlite, sees: loss, rounds: 30},
		{name: "sqlite_ignore_ioerr", by: "N12", engine: sqlite, sees: append([]string{"I21"}, loss...)},
		{name: "synchronous_commit=off", by: "N3", engine: postgres, sees: loss, setting: true},
		{name: "fsync=off", by: "N3", engine: postgres, sees: append([]string{"I21", "PostgreSQL"}, loss...), setting: true},
	}
}

// mistakes switches on each classic mistake, and fails for each that is not caught.
func (p *programme) mistakes(ctx context.Context) error {
	list := allMistakes()
	if len(p.flags.Mistake) > 0 {
		list = slices.DeleteFunc(list, func(m mistake) bool { return !slices.Contains(p.flags.Mistake, m.name) })
	}
	for _, m := range list {
		if ctx.Err() != nil {
			break
		}
		i := slices.IndexFunc(nemesis.All(), func(n nemesis.Nemesis) bool { return n.ID == m.by })
		if i < 0 {
			p.fail(fmt.Sprintf("%s must be caught by %s, which there is not", m.name, m.by))
			continue
		}
		n := nemesis.All()[i]
		if err := n.Missing(); err != nil {
			p.fail(fmt.Sprintf("%s must be caught by %s, which cannot run here: %v", m.name, n.ID, err))
			continue
		}
		p.try(ctx, &m, n)
	}
	return p.verdict(ctx)
}

// try makes rounds with a mistake until one sees it or the budget ends.
func (p *programme) try(ctx context.Context, m *mistake, n nemesis.Nemesis) {
	env := p.env
	env.Mistake = m.name
	if m.setting {
		env.Mistaken, env.Settings = "", []string{m.name}
	}
	rounds := m.rounds
	if rounds == 0 {
		rounds = 10
	}
	begun := time.Now()
	for i := range rounds {
		r := p.round(ctx, &env, job{n, m.engine, p.flags.Seed + uint64(i)})
		if ctx.Err() != nil {
			return
		}
		if r.Caught {
			p.caught(m, i+1, time.Since(begun))
			return
		}
		if time.Since(begun) > mistakeBudget {
			break
		}
	}
	p.fail(fmt.Sprintf("%s was not caught by %s on %s in %s", m.name, n.ID, m.engine, time.Since(begun).Round(time.Second)))
}

func (p *programme) caught(m *mistake, rounds int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed++
	_, _ = fmt.Fprintf(p.out, "caught  %s by %s on %s, in %d rounds and %s\n", m.name, m.by, m.engine, rounds, took.Round(time.Second))
}

// sees says whether a round shows a mistake for what it is.
func sees(name string, r *report.Result) bool {
	for _, m := range allMistakes() {
		if m.name != name {
			continue
		}
		for _, v := range append(slices.Clone(r.Violations), r.Error) {
			if slices.ContainsFunc(m.sees, func(s string) bool { return strings.HasPrefix(v, s) }) {
				return true
			}
		}
	}
	return false
}
