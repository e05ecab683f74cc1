package service

import "sync"

const (
	// aheadMessages and aheadBytes are how much a move reads at least, where it has to read: whoever dequeues one
	// message wants the next one soon, and so do others that are about as far.
	aheadMessages = 256
	aheadBytes    = 256 << 10
	// aheadTotal bounds what is kept of all topics, but for the last run.
	aheadTotal = 4 << 20
)

// ReadAhead keeps the run of messages that moves have read last of each topic, for engines whose reads cost something.
// A message never changes within an incarnation, and whoever asks has just read the head: its incarnation, and that
// the offset is not below its floor (P12). The zero ReadAhead is empty, and ready.
type ReadAhead struct {
	mu    sync.Mutex
	runs  map[TopicID]aheadRun
	bytes int64
}

type aheadRun struct {
	incarnation string
	messages    []Message
	bytes       int64
}

// Reader reads messages for PlanMoves: from tail where it has them, which may be nil, then from what was read ahead, and
// else from the store, more than was asked for.
func (a *ReadAhead) Reader(tail, store ReadFunc) ReadFunc {
	return func(topic TopicID, incarnation string, from Offset, limit int, maxBytes int64) ([]Message, error) {
		if tail != nil {
			if messages, err := tail(topic, incarnation, from, limit, maxBytes); err != nil || len(messages) > 0 {
				return messages, err
			}
		}
		if messages := a.read(topic, incarnation, from, limit, maxBytes); len(messages) > 0 {
			return messages, nil
		}
		messages, err := store(topic, incarnation, from, max(limit, aheadMessages), max(maxBytes, aheadBytes))
		if err != nil || len(messages) == 0 {
			return nil, err
		}
		a.keep(topic, incarnation, messages)
		return cut(messages, limit, maxBytes), nil
	}
}

// read answers what Read would, or nothing if it does not have all of that.
func (a *ReadAhead) read(
	topic TopicID, incarnation string, from Offset, limit int, maxBytes int64,
) []Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := a.runs[topic]
	if run.incarnation != incarnation || len(run.messages) == 0 || from < run.messages[0].Offset {
		return nil
	}
	skip := from - run.messages[0].Offset
	if skip >= Offset(len(run.messages)) {
		return nil
	}
	rest := run.messages[skip:]
	found := cut(rest, limit, maxBytes)
	if len(found) == len(rest) && len(found) < limit {
		return nil // there may be more
	}
	return found
}

// cut returns as many of the messages as were asked for, the first one in any case.
func cut(messages []Message, limit int, maxBytes int64) []Message {
	n := 0
	for n < len(messages) && n < limit {
		maxBytes -= messages[n].Size()
		if maxBytes < 0 && n > 0 {
			break
		}
		n++
	}
	return messages[:n:n]
}

// keep takes in a run that was read.
func (a *ReadAhead) keep(topic TopicID, incarnation string, messages []Message) {
	run := aheadRun{incarnation: incarnation, messages: messages}
	for i := range messages {
		run.bytes += messages[i].Size()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(topic)
	for other := range a.runs {
		if a.bytes+run.bytes <= aheadTotal {
			break
		}
		a.drop(other)
	}
	if a.runs == nil {
		a.runs = map[TopicID]aheadRun{}
	}
	a.runs[topic] = run
	a.bytes += run.bytes
}

func (a *ReadAhead) drop(topic TopicID) {
	a.bytes -= a.runs[topic].bytes
	delete(a.runs, topic)
}

// Forget drops all that was read: engines call it when they have lost the server that it was read from.
func (a *ReadAhead) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.runs)
	a.bytes = 0
}
