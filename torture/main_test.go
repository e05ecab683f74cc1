package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/topiq/topiq/torture/nemesis"
	"github.com/topiq/topiq/torture/report"
)

func TestNemesesAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, n := range nemesis.All() {
		if seen[n.ID] {
			t.Errorf("there are two %s", n.ID)
		}
		seen[n.ID] = true
		if n.Name == "" || n.Faults == "" || n.Round == nil || len(n.Engines) == 0 {
			t.Errorf("%s lacks something", n.ID)
		}
		for _, engine := range n.Engines {
			if !slices.Contains([]string{nemesis.SQLite, nemesis.Postgres, nemesis.Memory}, engine) {
				t.Errorf("%s is on engine %q", n.ID, engine)
			}
		}
	}
}

func TestEachMistakeHasWhoCatchesIt(t *testing.T) {
	t.Parallel()
	for _, m := range allMistakes() {
		i := slices.IndexFunc(nemesis.All(), func(n nemesis.Nemesis) bool { return n.ID == m.by })
		if i < 0 || !slices.Contains(nemesis.All()[i].Engines, m.engine) {
			t.Errorf("%s must be caught by %s on %s, which there is not", m.name, m.by, m.engine)
		}
		if len(m.sees) == 0 {
			t.Errorf("nothing shows %s", m.name)
		}
	}
}

// TestOnlyTheRightViolationCatches: a round that is red for another reason has not caught a mistake.
func TestOnlyTheRightViolationCatches(t *testing.T) {
	t.Parallel()
	r := &report.Result{Violations: []string{"I20: too many sessions"}}
	if sees("no_dedupe", r) {
		t.Error("a leak was taken for a duplicate")
	}
	r.Violations = append(r.Violations, "I3: (p, seq 1) is at offsets 3 and 4 of t")
	if !sees("no_dedupe", r) {
		t.Error("a duplicate was not seen")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := (&flags{List: true}).run(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "N1 ") || !strings.Contains(out.String(), "kill -9 of the broker") {
		t.Errorf("the list is %s", out.String())
	}
}

func TestUnknownNemesisIsRefused(t *testing.T) {
	t.Parallel()
	f := &flags{Only: []string{"N1", "N99"}}
	if _, err := f.chosen(); err == nil || !strings.Contains(err.Error(), "N99") {
		t.Errorf("chosen = %v", err)
	}
}

func TestShortProgrammeHasNoLongNemeses(t *testing.T) {
	t.Parallel()
	chosen, err := (&flags{}).chosen()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range chosen {
		if n.Short == 0 {
			t.Errorf("%s is in the short programme", n.ID)
		}
	}
}
