package service

import (
	"bytes"
	"testing"
)

func run(from Offset, n, size int) []Message {
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Message{Offset: from + Offset(i), Payload: Payload{Bytes: bytes.Repeat([]byte{'x'}, size)}}
	}
	return messages
}

func TestTailAnswersWhatItHolds(t *testing.T) {
	t.Parallel()
	var l tail
	l.add(run(10, 5, 1))
	l.add(run(15, 5, 1))
	for _, c := range []struct {
		name string
		from Offset
		w    window
		n    int
		full bool
	}{
		{"before the first", 9, window{10, 100}, 0, false},
		{"at the end", 20, window{10, 100}, 0, false},
		{"all", 10, window{100, 100}, 10, false},
		{"exactly as many as asked for", 10, window{10, 100}, 10, true},
		{"fewer than there are", 12, window{3, 100}, 3, true},
		{"bounded by bytes", 12, window{100, 4}, 4, true},
		{"one even above the bytes", 12, window{100, 0}, 1, true},
		{"to the end", 18, window{3, 100}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			messages, full := l.read(c.from, c.w)
			if len(messages) != c.n || full != c.full {
				t.Fatalf("%d messages, full %v; want %d, %v", len(messages), full, c.n, c.full)
			}
			if c.n > 0 && CheckRun(messages, c.from, c.n) != nil {
				t.Error("not the messages asked for")
			}
		})
	}
}

func TestTailHasNoHole(t *testing.T) {
	t.Parallel()
	var l tail
	l.add(run(0, 5, 1))
	l.add(run(7, 2, 1)) // 5 and 6 are another broker's
	if messages, _ := l.read(3, window{100, 100}); messages != nil {
		t.Errorf("offset 3 is still held: %v", messages)
	}
	if messages, _ := l.read(7, window{100, 100}); len(messages) != 2 {
		t.Errorf("%d messages from 7, want 2", len(messages))
	}
}

func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 100, 16 << 10} {
		var l tail
		next, held := Offset(0), []Message(nil)
		for range 5000 {
			if next == 2 {
				held, _ = l.read(0, window{2, 100 << 20})
			}
			l.add(run(next, 1, size))
			next++
		}
		if len(l.messages) > tailMessages || l.bytes > tailBytes {
			t.Errorf("messages of %d bytes: the tail holds %d, %d bytes", size, len(l.messages), l.bytes)
		}
		if c := cap(l.messages); c > 4*tailMessages {
			t.Errorf("messages of %d bytes: room for %d", size, c)
		}
		if messages, _ := l.read(next-1, window{1, 1}); len(messages) != 1 || messages[0].Offset != next-1 {
			t.Errorf("messages of %d bytes: the newest is not there", size)
		}
		if CheckRun(held, 0, 2) != nil || len(held[1].Bytes) != size {
			t.Error("a slice handed out was changed")
		}
	}
}
