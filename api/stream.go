package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

const (
	// heartbeat is how long a stream may be silent: less than what proxies take for a dead connection.
	heartbeat = 15 * time.Second
	// hurry is what is left to a reader, when the broker shuts down, to take what is being sent to it.
	hurry = time.Second
)

// StreamMessages implements wireserver.StrictServerInterface. Whatever is refused before the stream
// begins is answered like the refusals of any other call.
func (h *handlers) StreamMessages(
	ctx context.Context, r wireserver.StreamMessagesRequestObject,
) (wireserver.StreamMessagesResponseObject, error) {
	request, err := streamRequest(r.Topic, &r.Params)
	if err != nil {
		return nil, err
	}
	stream, err := h.broker.Stream(ctx, request)
	if err != nil {
		return nil, err
	}
	return streamed(func(w http.ResponseWriter) error {
		defer stream.Close()
		return h.stream(ctx, w, stream)
	}), nil
}

// streamed writes a stream. The generated type would read it from a pipe, which takes a goroutine and
// a buffer for each.
type streamed func(w http.ResponseWriter) error

// VisitStreamMessagesResponse implements wireserver.StreamMessagesResponseObject.
func (s streamed) VisitStreamMessagesResponse(w http.ResponseWriter) error { return s(w) }

// stream sends what the stream tells until the reader is gone or the stream ends.
func (s *server) stream(ctx context.Context, w http.ResponseWriter, stream *service.Stream) error {
	x, err := exchangeBehind(w)
	if err != nil {
		return err
	}
	out := &eventWriter{x: x, control: http.NewResponseController(x.ResponseWriter)}
	// A reader that takes nothing must not hold up the shutdown. Who waits for news is woken by the
	// stream itself.
	stop := s.broker.WhenClosing(out.hurryUp)
	defer out.end()
	defer stop()

	err = out.begin()
	access := access{server: s, grant: x.grant}
	quiet := time.Now() // nothing was sent since
	for flushed := true; err == nil; {
		if failure := access.check(ctx); failure != nil {
			return s.endStream(ctx, out, failure)
		}
		var wait time.Duration // what comes at once goes along
		if flushed {
			wait = min(heartbeat-time.Since(quiet), access.left())
		}
		event, failure := stream.Next(ctx, max(0, wait))
		switch {
		case failure != nil:
			return s.endStream(ctx, out, failure)
		case event.Kind != service.StreamIdle:
			err, flushed = out.send(&streamEvents{event, stream.Incarnation()}), false
		case !flushed:
			err, flushed, quiet = out.flush(), true, time.Now()
		case time.Since(quiet) >= heartbeat:
			err, quiet = out.beat(), time.Now()
		}
	}
	if unwritable, ok := errors.AsType[*service.Error](err); ok {
		return s.endStream(ctx, out, unwritable)
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "the reader of a stream is gone, or took nothing for too long",
		slog.String("request_id", x.id()), slog.Any("error", err))
	return nil
}

// access is what the token of a stream allows it, looked at anew again and again: a token that was
// revoked or has expired since ends it.
type access struct {
	server  *server
	grant   *service.Grant // nil where none is asked for
	checked time.Time
}

// left is how long nobody needs to look.
func (a *access) left() time.Duration {
	if a.grant == nil {
		return heartbeat
	}
	return service.HoldInterval - time.Since(a.checked)
}

// check looks, if it is time.
func (a *access) check(ctx context.Context) error {
	if a.left() > 0 {
		return nil
	}
	holds, err := a.server.broker.Holds(ctx, a.grant)
	if err == nil && !holds {
		err = errUnauthorized
	}
	a.checked = time.Now()
	return err
}

// endStream tells a failure, after which nothing follows. It is logged like that of any other call.
func (s *server) endStream(ctx context.Context, out *eventWriter, err error) error {
	known, refused := classify(ctx, err)
	failure, _ := s.noted(ctx, out.x, known, refused, err)
	text, err := json.Marshal(&failure)
	if err != nil {
		return err
	}
	event := append(append(appendEvent(nil, "", "error"), "data: "...), text...)
	if err := out.write(append(event, "\n\n"...)); err != nil {
		return nil //nolint:nilerr // nobody is left to be told
	}
	_ = out.flush() // likewise
	return nil
}

// streamEvents are the events that tell a reader of a topic what happened.
type streamEvents struct {
	service.StreamEvent
	incarnation string
}

// appendTo implements encoder. JSON has no line breaks of its own, so each event has one line of data.
func (e *streamEvents) appendTo(b []byte) (_ []byte, err error) {
	switch e.Kind {
	case service.StreamMessages:
		var at instant
		for i := range e.Messages {
			m := &e.Messages[i]
			b = append(appendEvent(b, eventID(m.Offset+1, e.incarnation), "message"), "data: "...)
			if b, err = appendMessage(b, m, &at); err != nil {
				return b, err
			}
			b = append(b, "\n\n"...)
		}
	case service.StreamCaughtUp:
		b = appendEvent(b, eventID(e.Next, e.incarnation), "caught-up")
		b = appendPlain(appendInteger(b, `data: {"next_offset":`, e.Next), `,"incarnation":`, e.incarnation)
		b = append(b, "}\n\n"...)
	case service.StreamTrimmed:
		b = appendEvent(b, eventID(e.Next, e.incarnation), "trimmed")
		b = appendPlain(appendInteger(b, `data: {"first_offset":`, e.Next), `,"incarnation":`, e.incarnation)
		b = append(b, "}\n\n"...)
	case service.StreamIdle:
	}
	return b, nil
}

// appendEvent writes what stands before the data of an event. Without an id, the reader's last one stays.
func appendEvent(b []byte, id, name string) []byte {
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	return append(append(append(b, "event: "...), name...), '\n')
}

// eventWriter writes events to one reader. Each write has a deadline of its own: one for the whole
// stream would end it, and none would let a reader that takes nothing hold its memory for ever.
type eventWriter struct {
	x       *exchange
	control *http.ResponseController

	mu      sync.Mutex
	hurried bool // the broker shuts down
	ended   bool // the connection is somebody else's by now
}

// begin sends the head, and a comment, so that whatever is in between lets both through.
func (w *eventWriter) begin() error {
	h := w.x.Header()
	h["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
	// A proxy that compresses would hold back what is too little for it.
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx and those who follow it pass on what comes, at once
	w.x.WriteHeader(http.StatusOK)
	return w.beat()
}

// beat sends a comment: a reader, and what is in between, sees that the broker is there.
func (w *eventWriter) beat() error {
	if err := w.write([]byte(":\n\n")); err != nil {
		return err
	}
	return w.flush()
}

// send writes events. They may stay in the buffer of the connection until flush. A stream that waits
// holds no buffer of its own.
func (w *eventWriter) send(events encoder) error {
	pool := &w.x.server.answers
	buffer, _ := pool.Get().(*[]byte)
	text, err := events.appendTo((*buffer)[:0])
	if err != nil {
		return service.ErrInternal.Because(err)
	}
	if err = w.write(text); cap(text) <= keptBuffer {
		*buffer = text
		pool.Put(buffer)
	}
	return err
}

func (w *eventWriter) write(b []byte) error {
	w.allow(int64(len(b)))
	_, err := w.x.Write(b)
	return err
}

func (w *eventWriter) flush() error {
	w.allow(0)
	return w.control.Flush()
}

// allow sets the deadline of the next write.
func (w *eventWriter) allow(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.hurried {
		// Fails only for writers without a connection, which are those of tests.
		_ = w.control.SetWriteDeadline(time.Now().Add(w.x.server.config.bodyTime(bytes)))
	}
}

// hurryUp gives the writes from now on, and the one under way, little time together.
func (w *eventWriter) hurryUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.hurried = true
		_ = w.control.SetWriteDeadline(time.Now().Add(hurry)) // see allow
	}
}

// end lets go of the connection, which may be used for other answers: hurryUp may be about to begin.
func (w *eventWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}
