package service

import (
	"fmt"
	"slices"
	"testing"
)

// TestHeadPollsTakeTurns: every topic that somebody waits on is read within headRounds rounds, few of them in each, and
// many not in one.
func TestHeadPollsTakeTurns(t *testing.T) {
	t.Parallel()
	var all []TopicName
	for i := range 12_000 {
		all = append(all, TopicName(fmt.Sprint("topic ", i)))
	}
	for _, n := range []int{0, 1, roundBatch, roundBatch + 1, 3 * roundBatch, len(all)} {
		polls := headPolls{}
		rounds := min(max((n+roundBatch-1)/roundBatch, 1), headRounds)
		for cycle := range 3 {
			seen := map[TopicName]bool{}
			for range rounds {
				names := polls.next(slices.Clone(all[:n]))
				if most := n/rounds + n/10; len(names) > max(most, roundBatch) {
					t.Errorf("%d of %d topics are read at a time", len(names), n)
				}
				for _, name := range names {
					seen[name] = true
				}
			}
			if len(seen) != n {
				t.Errorf("cycle %d: %d of %d topics were read", cycle, len(seen), n)
			}
		}
	}
	polls, seen := headPolls{}, 0 // their number changes all the time
	for round := range 1000 {
		names := polls.next(slices.Clone(all[:1+round%7*1700]))
		if slices.Contains(names, all[0]) {
			seen = round
		} else if round-seen > 2*headRounds {
			t.Fatalf("a topic was not read from round %d to round %d", seen, round)
		}
	}
}
