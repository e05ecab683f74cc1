package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A file is records, one after another:
//
//	3 bytes  the mark 0xFF 't' 'q'
//	1 byte   the kind
//	4 bytes  the length of the payload, little-endian
//	4 bytes  the CRC-32C of all above and the payload, little-endian
//	         the payload
//
// Payloads are JSON, thus UTF-8, or integers that follow one in big-endian order; so 0xFF is rare in them, and a
// mark is found quickly behind a damaged record.
const recordOverhead = 12

// kindOfRecord says what a record is about.
type kindOfRecord byte

const (
	recordHeader  kindOfRecord = 'H' // JSON; the first one, and only that
	recordMessage kindOfRecord = 'M' // seq; the message as a member of a request
	recordStored  kindOfRecord = 'A' // seq; all messages below are stored
	recordRefused kindOfRecord = 'R' // seq; that message leaves, and those behind it move up
	recordSynced  kindOfRecord = 'S' // bytes of the file that are synced
)

// appendRecord writes a record behind b.
func appendRecord(b []byte, kind kindOfRecord, payload ...[]byte) []byte {
	begin, size := len(b), 0
	for _, part := range payload {
		size += len(part)
	}
	b = append(b, 0xFF, 't', 'q', byte(kind))
	b = binary.LittleEndian.AppendUint32(b, uint32(size)) //nolint:gosec // a message is far smaller
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[begin:])
	for _, part := range payload {
		sum = crc32.Update(sum, table, part)
	}
	b = binary.LittleEndian.AppendUint32(b, sum)
	for _, part := range payload {
		b = append(b, part...)
	}
	return b
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // not negative

func messageRecordSize(raw []byte) int64 { return int64(recordOverhead + 8 + len(raw)) }

// record is one that was read.
type record struct {
	kind    kindOfRecord
	number  int64 // of all kinds but the header
	payload []byte
	size    int // with everything
}

// parseRecord reads the record that b begins with. It returns false if there is none that is whole.
func parseRecord(b []byte) (r record, ok bool) {
	if len(b) < recordOverhead || b[0] != 0xFF || b[1] != 't' || b[2] != 'q' {
		return r, false
	}
	length := int64(binary.LittleEndian.Uint32(b[4:]))
	if length > int64(len(b)-recordOverhead) {
		return r, false
	}
	r = record{kind: kindOfRecord(b[3]), payload: b[recordOverhead : recordOverhead+length], size: recordOverhead + int(length)}
	table := crc32.MakeTable(crc32.Castagnoli)
	if crc32.Update(crc32.Checksum(b[:8], table), table, r.payload) != binary.LittleEndian.Uint32(b[8:]) {
		return r, false
	}
	if r.kind != recordHeader {
		if len(r.payload) < 8 {
			return r, false
		}
		r.number, r.payload = int64(binary.BigEndian.Uint64(r.payload)), r.payload[8:] //nolint:gosec // checked by replay
	}
	return r, true
}

// replayOutbox reads a file. What follows the last whole record was not synced, and is left away; unless a later
// record says that it was, for then the file is damaged, and whoever reads on would skip messages in silence.
func replayOutbox(raw []byte) (outboxState, error) {
	var s outboxState
	first, ok := parseRecord(raw)
	if !ok || first.kind != recordHeader {
		return s, damaged(0, "the file does not begin with a header")
	}
	if err := json.Unmarshal(first.payload, &s.header); err != nil || s.header.NextSeq < 0 {
		return s, damaged(0, "the header makes no sense")
	}
	s.next = s.header.NextSeq
	at := first.size
	for at < len(raw) {
		r, ok := parseRecord(raw[at:])
		if !ok {
			if syncedBeyond(raw, at) {
				return s, damaged(at, "a record is not what was written")
			}
			break
		}
		if err := s.apply(r, at); err != nil {
			return s, err
		}
		at += r.size
	}
	return s, nil
}

// syncedBeyond reports whether a record behind a damaged one says that the latter was synced.
func syncedBeyond(raw []byte, at int) bool {
	mark := []byte{0xFF, 't', 'q', byte(recordSynced)}
	for i := at; ; i++ {
		n := bytes.Index(raw[min(i, len(raw)):], mark)
		if n < 0 {
			return false
		}
		i += n
		if r, ok := parseRecord(raw[i:]); ok && r.number > int64(at) {
			return true
		}
	}
}

// apply changes the state as a record says.
func (s *outboxState) apply(r record, at int) error {
	end := s.next + int64(len(s.pending))
	switch r.kind {
	case recordMessage:
		if len(s.pending) == 0 && r.number >= s.next {
			s.next, end = r.number, r.number
		}
		if r.number != end {
			return damaged(at, "message %d stands where %d should be", r.number, end)
		}
		s.pending = append(s.pending, keptMessage{seq: r.number, raw: bytes.Clone(r.payload)})
	case recordStored:
		if r.number < s.next || r.number > end {
			return damaged(at, "message %d cannot be stored", r.number)
		}
		s.pending = s.pending[r.number-s.next:]
		s.next = r.number
	case recordRefused:
		if !s.remove(r.number) {
			return damaged(at, "message %d cannot be refused", r.number)
		}
	case recordSynced:
		if r.number < 0 || r.number > int64(at) {
			return damaged(at, "it cannot be synced up to %d", r.number)
		}
	default: // a header too: there is only one
		return damaged(at, "a record of kind %q", r.kind)
	}
	return nil
}

// remove takes a message away, and moves those behind it up.
func (s *outboxState) remove(seq int64) bool {
	if len(s.pending) == 0 || seq < s.pending[0].seq || seq > s.pending[len(s.pending)-1].seq {
		return false
	}
	i := int(seq - s.pending[0].seq)
	s.pending = append(s.pending[:i], s.pending[i+1:]...)
	for ; i < len(s.pending); i++ {
		s.pending[i].seq--
	}
	return true
}

func damaged(at int, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrOutboxDamaged, at, fmt.Sprintf(format, args...))
}

// Errors of outboxes.
var (
	// ErrInOutbox says of a message that Send has failed for: it is in the outbox and will be sent, by this
	// producer or by the next one with this outbox. Do not send it again. See [Outbox].
	ErrInOutbox = errors.New("topiq: the message is in the outbox and will be sent")
	// ErrOutboxBusy answers the start of a producer whose outbox another one uses, perhaps in another process.
	ErrOutboxBusy = errors.New("another producer uses it")
	// ErrOutboxDamaged answers the start of a producer whose outbox is not what was written. Nothing of it is
	// sent, and it is not changed.
	ErrOutboxDamaged = errors.New("the file is damaged")
)
