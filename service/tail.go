package service

// The most one topic's tail holds. Readers further behind read from the store.
const (
	tailMessages = 4096
	tailBytes    = 4 << 20
	// messageOverhead is what a message takes in memory beside its payload, about.
	messageOverhead = 200
)

func footprint(m *Message) int64 { return m.Size() + messageOverhead }

// tail holds the newest messages of a topic that this broker committed itself, at consecutive
// offsets. The slices it hands out are never written again: add appends beyond what any reader
// was given, or copies.
type tail struct {
	messages []Message
	bytes    int64
	// dropped messages are still held by the array behind messages until it is copied.
	dropped      int
	droppedBytes int64
}

// add appends a committed group. Where another broker's group lies in between, what was there
// before is dropped, for a tail has no hole.
func (l *tail) add(messages []Message) {
	if n := len(l.messages); n > 0 && l.messages[n-1].Offset+1 != messages[0].Offset {
		*l = tail{}
	}
	for i := range messages {
		l.bytes += footprint(&messages[i])
	}
	l.messages = append(l.messages, messages...)
	for n := len(l.messages); n > tailMessages || (l.bytes > tailBytes && n > 1); n = len(l.messages) {
		l.drop()
	}
	l.compact()
}

// forgetBelow drops what was trimmed.
func (l *tail) forgetBelow(first Offset) {
	for len(l.messages) > 0 && l.messages[0].Offset < first {
		l.drop()
	}
	l.compact()
}

// drop drops the oldest message.
func (l *tail) drop() {
	size := footprint(&l.messages[0])
	l.bytes -= size
	l.messages = l.messages[1:]
	l.dropped++
	l.droppedBytes += size
}

func (l *tail) compact() {
	// Copying now and then lets the dropped messages go, at a cost of one copy a message.
	if l.dropped > len(l.messages) || l.droppedBytes > tailBytes {
		l.messages = append(make([]Message, 0, 2*len(l.messages)), l.messages...)
		l.dropped, l.droppedBytes = 0, 0
	}
}

// read returns the messages at from that w allows; full says that w, not the end of the tail,
// was the limit. Nothing where the tail begins after from or ends before it.
func (l *tail) read(from Offset, w window) (messages []Message, full bool) {
	n := len(l.messages)
	if n == 0 || from < l.messages[0].Offset || from > l.messages[n-1].Offset {
		return nil, false
	}
	rest := l.messages[from-l.messages[0].Offset:]
	taken := w.fit(rest)
	return rest[:taken:taken], taken < len(rest) || taken == w.limit
}

// fit returns how many of the messages one answer may hold: at least one.
func (w window) fit(messages []Message) int {
	var bytes int64
	for i := range messages {
		bytes += messages[i].Size()
		if i == w.limit || (i > 0 && bytes > w.maxBytes) {
			return i
		}
	}
	return len(messages)
}
