package history_test

import (
	"sync"
	"testing"

	"github.com/topiq/topiq/torture/history"
)

func TestRecorderKeepsAll(t *testing.T) {
	t.Parallel()
	r := history.NewRecorder()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				r.Add(&history.Op{Kind: history.Read, Invoke: r.Now()})
			}
		})
	}
	group.Wait()
	if n := len(r.Ops()); n != 800 {
		t.Errorf("%d operations were kept, want 800", n)
	}
}

func TestDigestTellsContentsApart(t *testing.T) {
	t.Parallel()
	seen := map[history.Digest]int{}
	for i, d := range []history.Digest{
		history.DigestOf(false, nil, nil),
		history.DigestOf(true, nil, nil),
		history.DigestOf(false, []byte("a"), nil),
		history.DigestOf(true, []byte("a"), nil),
		history.DigestOf(false, []byte("a\x00"), nil),
		history.DigestOf(false, []byte("a"), map[string]string{"b": ""}),
		history.DigestOf(false, []byte("a"), map[string]string{"b": "c"}),
		history.DigestOf(false, []byte("a"), map[string]string{"bc": ""}),
		history.DigestOf(false, []byte("a"), map[string]string{"b": "c", "d": "e"}),
	} {
		if j, ok := seen[d]; ok {
			t.Errorf("contents %d and %d have the same digest", j, i)
		}
		seen[d] = i
	}
	one := map[string]string{"b": "c", "d": "e"}
	if history.DigestOf(true, []byte("a"), one) != history.DigestOf(true, []byte("a"), map[string]string{"d": "e", "b": "c"}) {
		t.Error("the order of headers matters")
	}
}
