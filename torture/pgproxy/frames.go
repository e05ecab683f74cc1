package pgproxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	frameHead    = 5       // type and length
	lookBytes    = 4 << 10 // how much of a message is read before it is forwarded; names and COMMIT are at its beginning
	bufferBytes  = 64 << 10
	maxFrameBody = 1<<30 - 1 // PostgreSQL's own limit
)

// frame is one message with a type. The beginning of its body is in raw, behind the head, and the
// rest is still to be read.
type frame struct {
	kind    byte
	raw     []byte
	rest    int64
	arrived time.Time
}

func (f frame) body() []byte { return f.raw[frameHead:] }

// source reads one direction of a connection.
type source struct {
	in    *bufio.Reader
	clock *arrivals
	raw   []byte
}

func newSource(r io.Reader) *source {
	clock := &arrivals{in: r}
	return &source{in: bufio.NewReaderSize(clock, bufferBytes), clock: clock, raw: make([]byte, frameHead+lookBytes)}
}

// arrivals remembers when something was last read. What is in the buffer behind it came no later.
type arrivals struct {
	in   io.Reader
	last time.Time
}

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	a.last = time.Now()
	return n, err
}

// next reads a message. It is valid until the next call.
func (s *source) next() (frame, error) {
	if _, err := io.ReadFull(s.in, s.raw[:frameHead]); err != nil {
		return frame{}, err
	}
	body := int64(binary.BigEndian.Uint32(s.raw[1:frameHead])) - 4
	if body < 0 || body > maxFrameBody {
		return frame{}, fmt.Errorf("a message %q with a body of %d bytes", s.raw[0], body)
	}
	look := min(body, lookBytes)
	f := frame{kind: s.raw[0], raw: s.raw[:frameHead+look], rest: body - look}
	_, err := io.ReadFull(s.in, s.raw[frameHead:frameHead+look])
	f.arrived = s.clock.last
	return f, err
}

// statements knows which prepared statements and portals of a connection are a COMMIT.
type statements struct {
	prepared map[string]bool
	portals  map[string]bool
}

func newStatements() *statements {
	return &statements{prepared: map[string]bool{}, portals: map[string]bool{}}
}

// commits says whether a message of a client makes the server run a COMMIT, and learns from those that
// prepare one. Only names of a COMMIT are kept.
func (s *statements) commits(f frame) bool {
	first, rest, ok := bytes.Cut(f.body(), []byte{0})
	switch f.kind {
	case 'Q':
		return isCommit(first)
	case 'E':
		return ok && s.portals[string(first)]
	case 'P':
		query, _, _ := bytes.Cut(rest, []byte{0})
		remember(s.prepared, first, ok && isCommit(query))
	case 'B':
		name, _, _ := bytes.Cut(rest, []byte{0})
		remember(s.portals, first, ok && s.prepared[string(name)])
	case 'C':
		if len(first) > 0 {
			names := map[byte]map[string]bool{'S': s.prepared, 'P': s.portals}[first[0]]
			remember(names, first[1:], false)
		}
	}
	return false
}

func remember(names map[string]bool, name []byte, commit bool) {
	if commit {
		names[string(name)] = true
	} else {
		delete(names, string(name))
	}
}

// isCommit recognizes COMMIT and END, with the words that may follow. COMMIT PREPARED is another thing.
func isCommit(sql []byte) bool {
	if len(sql) > 64 {
		return false
	}
	words := strings.Fields(strings.ToLower(strings.TrimRight(string(sql), "; \t\r\n")))
	if len(words) == 0 || (words[0] != "commit" && words[0] != "end") {
		return false
	}
	return len(words) == 1 || words[1] == "work" || words[1] == "transaction" || words[1] == "and"
}

// endsRoundTrip says whether the server answers a message of a client with ReadyForQuery.
func endsRoundTrip(kind byte) bool { return kind == 'Q' || kind == 'S' || kind == 'F' }

// answersCommit says whether a message of the server is the end of a COMMIT: that it committed, that it
// rolled back in place of it, or an error.
func answersCommit(f frame) bool {
	tag, _, _ := bytes.Cut(f.body(), []byte{0})
	return f.kind == 'E' || f.kind == 'C' && (string(tag) == "COMMIT" || string(tag) == "ROLLBACK")
}
