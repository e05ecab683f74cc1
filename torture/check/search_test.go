package check_test

import (
	"testing"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/history"
)

func (b *book) search() check.Searched {
	result, _ := check.Search(b.ops, b.final(), 10*time.Second)
	return result
}

func (b *book) register(epoch, next int64) {
	b.add(history.Op{Kind: history.Register, Name: "p", Outcome: history.OK, Epoch: epoch, Seq: history.None, NextSeq: next})
}

func TestSearchExplainsACleanHistory(t *testing.T) {
	t.Parallel()
	b := clean()
	b.register(2, 4)
	b.produce(history.Fail, 4, 0, "late").Code = "producer_fenced"
	late := b.produce(history.Info, 4, 0, "e") // of epoch 2
	late.Epoch = 2
	b.read(0, 4, message(0, 0, "a"), message(1, 1, "b"), message(2, 2, "c"), message(3, 3, "d"))
	b.stored("a", "b", "c", "d", "e")
	if got := b.search(); got != check.Explained {
		t.Errorf("a clean history is %s", got)
	}
}

// TestSearchExplainsARerun: two requests with one seq, of which the first was stored by its broker after all,
// and the second found it when its own COMMIT got no answer. It cannot say whose it was (P9).
func TestSearchExplainsARerun(t *testing.T) {
	t.Parallel()
	b := clean()
	b.produce(history.Info, 4, 0, "e")
	b.read(0, 5, message(0, 0, "a"), message(1, 1, "b"), message(2, 2, "c"), message(3, 3, "d"), message(4, 4, "e"))
	b.produce(history.OK, 4, 4, "e")
	b.stored("a", "b", "c", "d", "e")
	if got := b.search(); got != check.Explained {
		t.Errorf("it is %s", got)
	}
}

// TestSearchFinds breaks the history in ways that need no special check.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(b *book){
		"a lost message":    func(b *book) { b.stored("a", "b", "c") },
		"another message":   func(b *book) { b.final().Messages[0].Content = value("x").Content },
		"a doubled message": func(b *book) { b.stored("a", "b", "c", "c", "d") },
		"a wrong read": func(b *book) {
			b.read(0, 4, message(0, 0, "b"), message(1, 1, "a"), message(2, 2, "c"), message(3, 3, "d"))
		},
		"a read of the past":   func(b *book) { b.read(0, 2, message(0, 0, "a"), message(1, 1, "b")) },
		"a wrong offset":       func(b *book) { b.ops[1].Offsets = []int64{1, 2} },
		"a fence in the wrong": func(b *book) { b.produce(history.Fail, 4, 0, "e").Code = "producer_fenced" },
		"a fenced success": func(b *book) {
			b.register(2, 4)
			b.produce(history.OK, 4, 4, "e")
			b.stored("a", "b", "c", "d", "e")
		},
		"an epoch twice":         func(b *book) { b.register(2, 4); b.register(4, 4) },
		"a register that forgot": func(b *book) { b.register(2, 3) },
		"a gap":                  func(b *book) { b.produce(history.OK, 5, 4, "e"); b.stored("a", "b", "c", "d", "e") },
		"a repeat elsewhere":     func(b *book) { b.produce(history.OK, 3, 2, "d") },
		"other bytes":            func(b *book) { b.produce(history.OK, 3, 3, "x").Mutant = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := clean()
			breakIt(b)
			if got := b.search(); got != check.Unexplained {
				t.Errorf("it is %s", got)
			}
		})
	}
}
