package memory

import (
	"slices"

	"github.com/topiq/topiq/service"
)

const (
	// chunkLen is how many messages a chunk of a log holds.
	chunkLen = 512
	// firstChunk is where the first chunk of a log begins to grow: most topics are small.
	firstChunk = 8
)

// log is the messages of a topic in chunks, so that appending to a long one copies nothing. It is a
// value: the logs of successive views share their chunks, and each looks only at messages within its
// own length, where nothing is written any more. Only the newest log of a topic may be appended to.
type log struct {
	chunks [][]service.Message // all as long as they may get; full ones have chunkLen
	skip   int                 // messages of the first chunk that were trimmed
	length int
}

// at returns the message at an index from 0 to length − 1.
func (l log) at(i int) *service.Message {
	i += l.skip
	return &l.chunks[i/chunkLen][i%chunkLen]
}

// extended returns a log with more messages at its end.
func (l log) extended(by []service.Message) log {
	for len(by) > 0 {
		end := l.skip + l.length
		c, i := end/chunkLen, end%chunkLen
		switch {
		case c == len(l.chunks):
			size := chunkLen
			if c == 0 {
				size = min(chunkLen, max(firstChunk, len(by)))
			}
			l.chunks = append(l.chunks, make([]service.Message, size))
		case i == len(l.chunks[c]): // the first one, which is still small
			larger := make([]service.Message, min(chunkLen, max(2*i, i+len(by))))
			copy(larger, l.chunks[c])
			// Views that are read meanwhile have the old list, and so the old chunk.
			l.chunks = slices.Clone(l.chunks)
			l.chunks[c] = larger
		}
		n := copy(l.chunks[c][i:], by)
		l.length += n
		by = by[n:]
	}
	return l
}

// without returns a log without its first n messages. Its list and its first chunk are copies, for an
// array keeps all it ever had.
func (l log) without(n int) log {
	if n == 0 {
		return l
	}
	l.skip += n
	l.length -= n
	l.chunks = slices.Clone(l.chunks[l.skip/chunkLen:])
	l.skip %= chunkLen
	if l.skip > 0 {
		rest := make([]service.Message, len(l.chunks[0]))
		copy(rest[l.skip:], l.chunks[0][l.skip:])
		l.chunks[0] = rest
	}
	return l
}

// run returns n messages from an index on. It is a part of the log itself where they are in one chunk;
// its capacity ends with it, so that nobody who appends to it writes into the log.
func (l log) run(from, n int) []service.Message {
	if n == 0 {
		return nil
	}
	at := l.skip + from
	c, i := at/chunkLen, at%chunkLen
	if i+n <= len(l.chunks[c]) {
		return l.chunks[c][i : i+n : i+n]
	}
	run := make([]service.Message, 0, n)
	for len(run) < n {
		run = append(run, l.chunks[c][i:min(chunkLen, i+n-len(run))]...)
		c, i = c+1, 0
	}
	return run
}
