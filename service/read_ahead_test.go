package service

import "testing"

// messagesFrom are messages from an offset on, of so many bytes each.
func messagesFrom(from Offset, count, bytes int) (messages []Message) {
	for i := range count {
		messages = append(messages, Message{
			Offset: from + Offset(i), Payload: Payload{Bytes: make([]byte, bytes)},
		})
	}
	return messages
}

func TestReadAhead(t *testing.T) {
	t.Parallel()
	var a ReadAhead
	a.keep(1, "one", messagesFrom(100, 10, 50))
	tests := map[string]struct {
		topic       TopicID
		incarnation string
		from        Offset
		limit       int
		maxBytes    int64
		want        int // messages from there on
	}{
		"the first":                  {1, "one", 100, 1, 1000, 1},
		"some in the middle":         {1, "one", 103, 4, 1000, 4},
		"all":                        {1, "one", 100, 10, 1000, 10},
		"more than there are":        {1, "one", 103, 8, 1000, 0},
		"more, but for the bytes":    {1, "one", 103, 8, 120, 2},
		"one that is too large":      {1, "one", 103, 8, 1, 1},
		"the last":                   {1, "one", 109, 1, 1000, 1},
		"the last, cut by its bytes": {1, "one", 109, 2, 1, 0},
		"below":                      {1, "one", 99, 1, 1000, 0},
		"beyond":                     {1, "one", 110, 1, 1000, 0},
		"of another incarnation":     {1, "two", 100, 1, 1000, 0},
		"of another topic":           {2, "one", 100, 1, 1000, 0},
	}
	for name, test := range tests {
		found := a.read(test.topic, test.incarnation, test.from, test.limit, test.maxBytes)
		if len(found) != test.want || len(found) > 0 && found[0].Offset != test.from {
			t.Errorf("%s: %d messages, want %d", name, len(found), test.want)
		}
	}
	a.Forget()
	if found := a.read(1, "one", 100, 1, 1000); found != nil || a.bytes != 0 {
		t.Errorf("after all was forgotten: %d messages, %d bytes", len(found), a.bytes)
	}
}

func TestReaderReadsAhead(t *testing.T) {
	t.Parallel()
	var (
		a      ReadAhead
		stored = messagesFrom(0, 1000, 10)
		reads  int
		tail   func(from Offset) []Message
	)
	read := a.Reader(func(_ TopicID, _ string, from Offset, _ int, _ int64) ([]Message, error) {
		if tail == nil {
			return nil, nil
		}
		return tail(from), nil
	}, func(_ TopicID, _ string, from Offset, limit int, maxBytes int64) ([]Message, error) {
		reads++
		return cut(stored[from:], limit, maxBytes), nil
	})
	for from := range Offset(2 * aheadMessages) {
		if messages, err := read(1, "one", from, 1, 1); err != nil || len(messages) != 1 || messages[0].Offset != from {
			t.Fatalf("at %d: %v, %v", from, messages, err)
		}
	}
	if reads != 2 {
		t.Errorf("the store was read %d times, want 2", reads)
	}
	if messages, err := read(1, "one", 0, 500, 1<<20); err != nil || len(messages) != 500 {
		t.Errorf("of 500 messages came %d (%v)", len(messages), err)
	}
	tail = func(from Offset) []Message { return stored[from : from+1] }
	if messages, err := read(1, "one", 999, 1, 1); err != nil || len(messages) != 1 || reads != 3 {
		t.Errorf("from the tail: %d messages after %d reads (%v)", len(messages), reads, err)
	}
}

func TestReadAheadIsBounded(t *testing.T) {
	t.Parallel()
	var a ReadAhead
	for topic := range TopicID(100) {
		a.keep(topic, "one", messagesFrom(0, 4, 64<<10))
		a.keep(topic/2, "one", messagesFrom(7, 4, 64<<10))
		sum := int64(0)
		for _, run := range a.runs {
			sum += run.bytes
		}
		if sum != a.bytes || sum > aheadTotal {
			t.Fatalf("%d bytes are kept, and %d counted", sum, a.bytes)
		}
	}
	a.keep(1, "one", messagesFrom(0, 1, 2*aheadTotal))
	if found := a.read(1, "one", 0, 1, 1); len(found) != 1 || len(a.runs) != 1 {
		t.Errorf("a run that is larger than all: %d messages of it, %d runs", len(found), len(a.runs))
	}
}
