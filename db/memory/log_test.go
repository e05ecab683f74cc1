package memory_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestLog compares logs with slices: whatever is appended and trimmed later, a log that was seen once
// stays what it was.
func TestLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		type seen struct {
			log  memory.Log
			want []service.Message
		}
		var now seen
		var all []seen
		next := service.Offset(0)
		for range 60 {
			if random.IntN(3) == 0 {
				n := random.IntN(len(now.want) + 1)
				now = seen{now.log.Without(n), now.want[n:]}
			} else {
				more := make([]service.Message, random.IntN(1+[]int{3, 30, 1500}[random.IntN(3)]))
				for i := range more {
					more[i].Offset = next
					next++
				}
				now = seen{now.log.Extended(more), append(slices.Clone(now.want), more...)}
			}
			all = append(all, now)
		}
		for i := range all {
			checkLog(t, random, all[i].log, all[i].want)
		}
	}
}

func checkLog(t *testing.T, random *rand.Rand, l memory.Log, want []service.Message) {
	t.Helper()
	same := func(got []service.Message, from, n int) {
		t.Helper()
		if !slices.EqualFunc(got, want[from:from+n], func(a, b service.Message) bool { return a.Offset == b.Offset }) {
			t.Fatalf("%d messages at %d of %d differ", n, from, len(want))
		}
		if n > 0 && cap(got) > len(got) && &got[0] == l.At(from) {
			t.Fatalf("%d messages at %d let their reader write behind them", n, from)
		}
	}
	same(l.Run(0, len(want)), 0, len(want))
	for range 10 {
		from := random.IntN(len(want) + 1)
		n := random.IntN(len(want) - from + 1)
		same(l.Run(from, n), from, n)
		if from < len(want) && l.At(from).Offset != want[from].Offset {
			t.Fatalf("the message at %d of %d differs", from, len(want))
		}
	}
}
