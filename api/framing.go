package api

import (
	"bytes"
	"math"
	"sync/atomic"
)

// framing follows the requests on one connection, to find out what net/http hides: that a request has a
// Content-Length beside its Transfer-Encoding. Then a proxy before the broker may have gone by the
// other of the two, and have taken the end of the body for a request of somebody else.
//
// It decides nothing about where a request ends. It only has to be right until the first request
// that has a Transfer-Encoding, for that one is the last: the handler closes the connection after
// every body in chunks. So bodies in chunks, where readers differ most, need not be followed. What
// has no Transfer-Encoding has a body of Content-Length, and what net/http refuses (two lengths that
// differ, a length that is no number, a line that is no header) ends the connection as well.
//
// It allocates nothing, and reads each byte of a header block at most twice.
type framing struct {
	// blocks counts the header blocks that have begun. ambiguous is the number of the one, from 1,
	// that has both. The handler reads them while the server reads on.
	blocks, ambiguous atomic.Int64

	body int64 // bytes of the body that are still to come
	done bool  // after a request that is the last, or that is not understood

	inBlock, hasEncoding, hasLength bool
	length                          int64 // what the line of that name says, or unknownLength

	// The line under way: its first bytes, how many it has had so far, whether a colon was among them,
	// and whether it is that of the length.
	name            [nameKept]byte
	lineBytes       int
	named, ofLength bool
}

// nameKept is more than the longest name that is looked for.
const nameKept = 24

// unknownLength is a length that was not understood.
const unknownLength = -1

// ahead reports whether more requests have begun to come in than were served.
func (f *framing) ahead(served int64) bool { return f.blocks.Load() > served }

// take takes in what was read, and reports whether a request has begun in it.
func (f *framing) take(b []byte) (begun bool) {
	before := f.blocks.Load()
	f.follow(b)
	return f.blocks.Load() > before
}

func (f *framing) follow(b []byte) {
	for len(b) > 0 && !f.done {
		if f.body > 0 {
			n := min(f.body, int64(len(b)))
			f.body -= n
			b = b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			f.add(b)
			return
		}
		f.add(b[:end])
		f.endLine()
		b = b[end+1:]
	}
}

// add takes in a part of a line.
func (f *framing) add(b []byte) {
	if !f.inBlock && len(bytes.TrimLeft(b, "\r")) > 0 {
		f.inBlock = true
		f.blocks.Add(1)
	}
	if !f.named {
		colon := bytes.IndexByte(b, ':')
		part := b
		if f.named = colon >= 0; f.named {
			part = b[:colon]
		}
		if f.lineBytes < nameKept {
			copy(f.name[f.lineBytes:], part)
		}
		f.lineBytes += len(part)
		b = b[len(part):]
		if f.named {
			f.header()
		}
	}
	f.lineBytes += len(b)
	if f.ofLength {
		f.digits(b)
	}
}

// header is the end of a name.
func (f *framing) header() {
	name := f.name[:min(f.lineBytes, nameKept)]
	switch {
	case equalFold(name, "transfer-encoding"):
		f.hasEncoding = true
	case equalFold(name, "content-length"):
		f.hasLength, f.ofLength, f.length = true, true, 0
	}
}

// digits takes in a part of the value of a length. It need not find out what is no number, for that
// is refused by net/http.
func (f *framing) digits(b []byte) {
	for _, c := range b {
		if c < '0' || c > '9' || f.length == unknownLength {
			continue
		}
		if f.length > (math.MaxInt64-9)/10 {
			f.length = unknownLength
			continue
		}
		f.length = f.length*10 + int64(c-'0')
	}
}

// endLine is the end of a line of a header block: LF, with CR before it or not.
func (f *framing) endLine() {
	blank := f.lineBytes == 0 || f.lineBytes == 1 && f.name[0] == '\r'
	// The line before goes on. If that was the length, it is not known.
	if !blank && (f.name[0] == ' ' || f.name[0] == '\t') && f.hasLength {
		f.length = unknownLength
	}
	f.lineBytes, f.named, f.ofLength = 0, false, false
	if blank && f.inBlock { // and not before a request line
		f.endBlock()
	}
}

// endBlock is the end of a header block.
func (f *framing) endBlock() {
	switch {
	case f.hasEncoding:
		if f.hasLength {
			f.ambiguous.Store(f.blocks.Load())
		}
		f.done = true
	case f.hasLength && f.length == unknownLength:
		f.done = true
	case f.hasLength:
		f.body = f.length
	}
	f.inBlock, f.hasEncoding, f.hasLength, f.length = false, false, false, 0
}

// equalFold compares with a lower-case word of ASCII, as net/http does.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
