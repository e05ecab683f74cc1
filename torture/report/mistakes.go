package report

import (
	"fmt"
	"slices"
	"strings"
)

// caught is how long the suite took to see one mistake.
type caught struct {
	mistake, nemesis, engine, saw, topiq string
	rounds                               int
	seconds                              float64
	yes                                  bool
}

// catches gathers the rounds with each mistake, the latest attempt only: rounds until one was red.
func catches(results []Result) []*caught {
	var list []*caught
	for i := range results {
		r := &results[i]
		j := slices.IndexFunc(list, func(c *caught) bool {
			return c.mistake == r.Mistake && c.nemesis == r.Nemesis && c.engine == r.Engine
		})
		if j < 0 {
			list = append(list, &caught{mistake: r.Mistake, nemesis: r.Nemesis, engine: r.Engine})
			j = len(list) - 1
		}
		c := list[j]
		if c.yes { // another attempt begins
			*c = caught{mistake: r.Mistake, nemesis: r.Nemesis, engine: r.Engine}
		}
		c.rounds++
		c.seconds += r.Seconds
		c.topiq = r.Versions.Topiq
		if r.Caught {
			c.yes, c.saw = true, saw(r)
		}
	}
	slices.SortStableFunc(list, func(a, b *caught) int { return strings.Compare(a.mistake, b.mistake) })
	return list
}

// saw says what a red round counted.
func saw(r *Result) string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.Lost, "lost"},
		{r.Duplicate, "doubled"},
		{r.Ghost, "made up"},
		{r.Reordered, "out of order"},
		{r.Gap, "skipped"},
		{r.Other, "other violations"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

func writeMistakes(b *strings.Builder, results []Result) {
	if len(results) == 0 {
		return
	}
	b.WriteString("A checker that never fired is no evidence. Each of these classic mistakes was switched on (`make torture-mistakes`), and the suite turned red:\n\n")
	b.WriteString("| mistake | caught by | engine | rounds | seconds | what was seen | topiq |\n|---|---|---|--:|--:|---|---|\n")
	for _, c := range catches(results) {
		what := c.saw
		if !c.yes {
			what = "**not caught**"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %d | %.0f | %s | %s |\n", c.mistake, c.nemesis, c.engine, c.rounds, c.seconds, what, c.topiq)
	}
	b.WriteString("\n")
}
