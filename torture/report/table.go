package report

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Marks between which a document has the tables.
const (
	beginMark = "<!-- torture:begin -->"
	endMark   = "<!-- torture:end -->"
)

// Write writes the tables of all results into a document, between its marks.
func Write(path string, results []Result) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(document), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return fmt.Errorf("%s has no line %s and, after it, no line %s to write the tables between", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+beginMark+"\n"+Tables(results)+endMark+after), 0o644)
}

// Tables makes the tables of results: the rounds, and the mistakes that were caught.
func Tables(results []Result) string {
	var rounds, mistakes []Result
	for _, r := range results {
		if r.Mistake == "" {
			rounds = append(rounds, r)
		} else {
			mistakes = append(mistakes, r)
		}
	}
	var b strings.Builder
	b.WriteString("\n")
	writeRounds(&b, rounds)
	writeMistakes(&b, mistakes)
	return b.String()
}

// sum is what all rounds of one nemesis on one engine came to.
type sum struct {
	nemesis, name, engine, faultName   string
	rounds, invalid, errors, red       int
	faults, ops, acked                 int
	unknown, unknownStored             int
	lost, duplicate, ghost, order, gap int
	other                              int
	recovery                           int64
	before, after                      float64 // sums of the rates
	rated                              int     // rounds that have both
	seeds                              []uint64
}

func (s *sum) add(r *Result) {
	s.rounds++
	s.seeds = append(s.seeds, r.Seed)
	switch {
	case r.Red():
		s.red++
	case r.Error != "":
		s.errors++
	case r.Invalid != "":
		s.invalid++
	}
	if r.Red() || r.Error == "" && r.Invalid == "" {
		s.faults += r.Faults
		s.ops += r.Ops
		s.acked += r.Acked
		s.unknown += r.Unknown
		s.unknownStored += r.UnknownStored
		s.recovery = max(s.recovery, r.WorstRecovery())
		if r.RateBefore > 0 && r.RateAfter > 0 {
			s.before, s.after = s.before+r.RateBefore, s.after+r.RateAfter
			s.rated++
		}
	}
	s.lost += r.Lost
	s.duplicate += r.Duplicate
	s.ghost += r.Ghost
	s.order += r.Reordered
	s.gap += r.Gap
	s.other += r.Other
}

// counted are the rounds that prove something.
func (s *sum) counted() int { return s.rounds - s.invalid - s.errors }

func sums(results []Result) []*sum {
	var list []*sum
	for i := range results {
		r := &results[i]
		j := slices.IndexFunc(list, func(s *sum) bool { return s.nemesis == r.Nemesis && s.engine == r.Engine })
		if j < 0 {
			list = append(list, &sum{nemesis: r.Nemesis, name: r.Name, engine: r.Engine, faultName: r.FaultName})
			j = len(list) - 1
		}
		list[j].add(r)
	}
	slices.SortStableFunc(list, func(a, b *sum) int {
		return cmp.Or(cmp.Compare(numberOf(a.nemesis), numberOf(b.nemesis)), cmp.Compare(a.nemesis, b.nemesis), cmp.Compare(a.engine, b.engine))
	})
	return list
}

// numberOf is the number in the name of a nemesis, so that N2 comes before N10; those without one
// come last.
func numberOf(id string) int {
	digits, _, _ := strings.Cut(strings.TrimPrefix(id, "N"), "-")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1000
	}
	return n
}

func writeRounds(b *strings.Builder, results []Result) {
	if len(results) == 0 {
		b.WriteString("No round has been run yet.\n\n")
		return
	}
	b.WriteString("| fault | engine | rounds | faults | operations | acked | unknown | unknown but stored | lost | duplicate | ghost | reordered | gap | other | worst recovery | rate after / before |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	list := sums(results)
	total := &sum{}
	for _, s := range list {
		fmt.Fprintf(b, "| %s: %s | %s | %s\n", s.nemesis, s.name, s.engine, s.cells())
		total.merge(s)
	}
	fmt.Fprintf(b, "| **all** | | %s\n\n", total.cells())
	if left := total.invalid + total.errors; left > 0 {
		fmt.Fprintf(b, "%d more rounds do not count: %d had too little traffic or no unknown outcome, and %d could not be run to their end.\n\n", left, total.invalid, total.errors)
	}
	writeBound(b, list)
	writeVersions(b, results)
}

func (s *sum) merge(o *sum) {
	s.rounds += o.rounds
	s.invalid += o.invalid
	s.errors += o.errors
	s.red += o.red
	s.faults += o.faults
	s.ops += o.ops
	s.acked += o.acked
	s.unknown += o.unknown
	s.unknownStored += o.unknownStored
	s.lost += o.lost
	s.duplicate += o.duplicate
	s.ghost += o.ghost
	s.order += o.order
	s.gap += o.gap
	s.other += o.other
	s.recovery = max(s.recovery, o.recovery)
	s.before, s.after, s.rated = s.before+o.before, s.after+o.after, s.rated+o.rated
}

// cells are those of a row from the rounds on.
func (s *sum) cells() string {
	faults := strconv.Itoa(s.faults)
	if s.faultName != "" {
		faults += " " + s.faultName
	}
	rate := ""
	if s.rated > 0 && s.before > 0 {
		rate = fmt.Sprintf("%.0f %%", 100*s.after/s.before)
	}
	cells := []string{strconv.Itoa(s.counted()), faults}
	for _, n := range []int{s.ops, s.acked, s.unknown, s.unknownStored, s.lost, s.duplicate, s.ghost, s.order, s.gap, s.other} {
		cells = append(cells, strconv.Itoa(n))
	}
	cells = append(cells, fmt.Sprintf("%.1f s", float64(s.recovery)/1000), rate)
	return strings.Join(cells, " | ") + " |"
}

// leastFaults is how many faults it takes to say anything about their probability.
const leastFaults = 4

// writeBound says what the numbers mean.
func writeBound(b *strings.Builder, list []*sum) {
	b.WriteString("What a number means: no failure in N independent faults bounds the probability of a failure at about 3/N for each fault, with 95 % confidence; it never makes it zero. ")
	var bounds []string
	for _, s := range list {
		if s.lost+s.duplicate+s.ghost+s.order+s.gap+s.other == 0 && s.faults >= leastFaults {
			bounds = append(bounds, fmt.Sprintf("%.3g %% for %s on %s", 300/float64(s.faults), s.nemesis, s.engine))
		}
	}
	if len(bounds) > 0 {
		fmt.Fprintf(b, "So the probability that one of these faults loses, doubles, invents, reorders or skips a message is less than %s.", strings.Join(bounds, ", "))
	}
	b.WriteString("\n\n")
}

func writeVersions(b *strings.Builder, results []Result) {
	var lines []string
	for i := range results {
		v := &results[i].Versions
		line := fmt.Sprintf("topiq %s, %s, PostgreSQL %s, %s, %s", v.Topiq, v.Go, v.Postgres, v.SQLite, v.Kernel)
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	b.WriteString("Ran on:\n\n")
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", line)
	}
	b.WriteString("\nSeeds (`make torture ONLY=… SEED=…` runs one again): ")
	for i, s := range sums(results) {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(b, "%s %s %s", s.nemesis, s.engine, ranges(s.seeds))
	}
	b.WriteString(".\n\n")
}

// ranges shows seeds in short: 1–20, 35.
func ranges(seeds []uint64) string {
	seeds = slices.Compact(slices.Sorted(slices.Values(seeds)))
	var parts []string
	for i := 0; i < len(seeds); {
		j := i
		for j+1 < len(seeds) && seeds[j+1] == seeds[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.FormatUint(seeds[i], 10))
		} else {
			parts = append(parts, fmt.Sprintf("%d–%d", seeds[i], seeds[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
