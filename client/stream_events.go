package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// streamEvent is one event of a stream.
type streamEvent struct {
	id, name string
	data     []byte
}

// eventReader reads Server-Sent Events as the HTML standard has them, but for what the broker never sends:
// lines that end with a carriage return alone, and the field retry.
type eventReader struct {
	in    *bufio.Reader
	heard func() // called for each line that has come
	line  []byte
}

// next reads the next event that has data.
func (r *eventReader) next() (streamEvent, error) {
	var e streamEvent
	hasData := false
	for {
		line, err := r.readLine()
		if err != nil {
			return e, err
		}
		if len(line) == 0 {
			if hasData {
				return e, nil
			}
			e = streamEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			if hasData {
				e.data = append(e.data, '\n')
			}
			e.data, hasData = append(e.data, value...), true
		}
	}
}

// readLine reads a line, which is good until the next call.
func (r *eventReader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.line = append(r.line, part...)
		r.heard()
		switch {
		case err == nil:
			return bytes.TrimSuffix(r.line[:len(r.line)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(r.line) > maxAnswerBytes:
			return nil, fmt.Errorf("an event is larger than %d bytes", maxAnswerBytes)
		}
	}
}

// batch reads the messages that come next: as many as are there, at most as many as the caller wants at a
// time, none with a caught-up that follows no message. It returns what it has read along with an error.
func (s *stream) batch(ctx context.Context, in *eventReader, end int64) (messages []Message, err error) {
	for size := 0; len(messages) == 0 || (in.in.Buffered() > 0 && len(messages) < s.limit && size < s.maxBytes); {
		e, err := in.next()
		if err != nil {
			return messages, broken(ctx, err)
		}
		switch e.name {
		case "message":
			m, err := s.message(end+int64(len(messages)), e)
			if err != nil {
				return messages, &Error{Op: streamOp, Status: http.StatusOK, Message: "the stream makes no sense", cause: err}
			}
			size += len(m.Value)
			messages = append(messages, m)
		case "caught-up":
			if len(messages) > 0 {
				return messages, nil
			}
		case "trimmed":
			return messages, trimmedError(e.data)
		case "error":
			return messages, endedError(e.data)
		}
	}
	return messages, nil
}

// message checks that a message is the one that comes next, in the same history.
func (s *stream) message(offset int64, e streamEvent) (Message, error) {
	if want := strconv.FormatInt(offset, 10) + "." + s.incarnation; e.id != want {
		return Message{}, fmt.Errorf("the event %q in place of %q", e.id, want)
	}
	var in wire.LogMessage
	if err := json.Unmarshal(e.data, &in); err != nil {
		return Message{}, err
	}
	if in.Offset != offset {
		return Message{}, fmt.Errorf("the message at offset %d is missing", offset)
	}
	return decodeMessage(s.topic, &in)
}

// trimmedError is what a read at the position would be refused with.
func trimmedError(data []byte) error {
	var in struct {
		FirstOffset *int64 `json:"first_offset"`
	}
	if err := json.Unmarshal(data, &in); err != nil || in.FirstOffset == nil {
		return &Error{Op: streamOp, Status: http.StatusOK, Message: "the stream makes no sense", cause: err}
	}
	return &Error{
		Op: streamOp, Code: string(wire.FailureCodeOffsetTrimmed), Status: http.StatusGone,
		Message: "the messages at this offset have been trimmed", FirstOffset: in.FirstOffset,
	}
}

// endedError is a failure that ended a stream. Whether it lasts is told by the answer to the next one.
func endedError(data []byte) error {
	e := &Error{Op: streamOp, Status: http.StatusOK, Message: "the stream ended", passing: true}
	var f wire.Failure
	if err := json.Unmarshal(data, &f); err != nil {
		e.cause = err
		return e
	}
	e.Code, e.Message, e.RequestID = string(f.Code), f.Message, orEmpty(f.RequestID)
	return e
}

// watchdog ends a stream that is silent for too long. It is of the goroutine that reads.
type watchdog struct {
	timer *time.Timer
	bark  time.Duration
}

func (w *watchdog) feed() { w.timer.Reset(w.bark) }
func (w *watchdog) stop() { w.timer.Stop() }
