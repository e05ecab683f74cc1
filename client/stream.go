package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

const (
	streamOp = "stream"
	// streamSilence is how long a stream may bring nothing. The broker sends something every 15 seconds.
	streamSilence = 40 * time.Second
	// withoutStreams is how long a topic is polled where streams do not come through, before the next try.
	withoutStreams = time.Minute
	// What a stream hands over at a time, where the caller does not say.
	streamMessages = 100
	streamBytes    = 4 << 20
	// streamLag is how long messages may wait for whoever takes them until it is no wonder that the stream was cut: a
	// broker waits for a reader at least five seconds.
	streamLag = time.Second
)

// Stream gets messages by a stream, one open connection for each topic on which the broker sends them as they
// are stored, in place of polls. Everything else is as with polls: a stream moves nothing (P11), and one that
// breaks is opened anew at the position that the consumer holds. The position is told to the broker about once
// a second while it moves. Wait is how long a Poll waits, and cannot be 0; PollTime has no meaning.
//
// Where the broker has no streams, or something in between does not let them through, the topic is polled.
func Stream() ConsumerOption {
	return consumerOption(func(cfg *consumerConfig) { cfg.stream = true })
}

// errNoStreams says that polls have to do.
var errNoStreams = errors.New("there are no streams")

// feed gets the messages of one topic by streams, one after another. next is called by one goroutine at a
// time; close may be called at any time.
type feed struct {
	client          *Client
	topic           string
	limit, maxBytes int // of one batch; 0 is the default

	pollUntil time.Time

	mu   sync.Mutex
	open *stream
}

// next returns the messages from a position on, none if there were none for so long, and errNoStreams if they
// have to be polled. After any other error, if it passes, the caller pauses and calls again.
func (f *feed) next(ctx context.Context, from Position, wait time.Duration) ([]Message, error) {
	if f.absent() {
		return nil, errNoStreams
	}
	if f.client.isClosed() {
		return nil, ErrClosed
	}
	s, err := f.at(ctx, from)
	if errors.Is(err, errNoStreams) {
		f.client.log.DebugContext(ctx, "topiq: polling, for there are no streams", "topic", f.topic, "error", err)
		f.pollUntil = time.Now().Add(withoutStreams)
	}
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case messages, ok := <-s.batches:
		if ok {
			s.next += int64(len(messages))
			return messages, nil
		}
		f.close()
		e := asError(s.err)
		if s.lagged && e.Status == 0 { // it was not the broker that failed
			return f.next(ctx, from, wait)
		}
		if e.passing {
			f.client.failedOver(ctx, operation{name: streamOp, wait: wait}, s.turn, e)
		}
		return nil, s.err
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// absent reports whether streams were missing a moment ago.
func (f *feed) absent() bool { return time.Now().Before(f.pollUntil) }

// at returns a stream that goes on at a position.
func (f *feed) at(ctx context.Context, from Position) (*stream, error) {
	f.mu.Lock()
	s := f.open
	f.mu.Unlock()
	if s != nil && s.next == from.Offset && s.incarnation == from.Incarnation {
		return s, nil
	}
	f.close()
	s = &stream{
		topic: f.topic, incarnation: from.Incarnation, next: from.Offset, limit: f.limit, maxBytes: f.maxBytes,
		batches: make(chan []Message), ended: make(chan struct{}),
	}
	if s.limit == 0 {
		s.limit = streamMessages
	}
	if s.maxBytes == 0 {
		s.maxBytes = streamBytes
	}
	if err := s.begin(ctx, f.client); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.open = s
	f.mu.Unlock()
	return s, nil
}

// close ends the stream, if one is open, and waits for it.
func (f *feed) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	s := f.open
	f.open = nil
	f.mu.Unlock()
	if s != nil {
		s.stop(context.Canceled)
		<-s.ended
	}
}

// stream is one connection on which messages come. A goroutine reads it ahead by one batch: then the buffers of
// the connection fill, and a broker that cannot get rid of more cuts it. That is no harm: the next one begins where
// this one was read to, at the same broker.
type stream struct {
	topic, incarnation string
	limit, maxBytes    int
	next               int64  // the offset after what was taken from batches; of the feed alone
	turn               uint64 // of the broker that was asked

	batches chan []Message // closed at the end
	err     error          // why it ended; set before batches is closed, like lagged
	lagged  bool           // messages have waited for long
	ended   chan struct{}  // closed when the goroutine has ended
	stop    context.CancelCauseFunc
}

// begin opens the stream. ctx bounds only this call.
func (s *stream) begin(ctx context.Context, c *Client) error {
	if c.isClosed() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	whole, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	s.stop = stop
	detach := context.AfterFunc(ctx, func() { stop(ctx.Err()) })
	late := time.AfterFunc(c.timeout, func() { stop(fmt.Errorf("no answer within %s", c.timeout)) })

	to, turn := c.brokers.current()
	s.turn = turn
	rsp, in, err := s.ask(whole, to)
	inTime := late.Stop()
	if detach() && err == nil && inTime {
		go s.read(whole, rsp.Body, in)
		return nil
	}
	if rsp != nil {
		_ = rsp.Body.Close()
	}
	if ended := ctx.Err(); ended != nil {
		stop(ended)
		return ended
	}
	if err == nil {
		err = broken(whole, nil)
	}
	stop(err)
	if e := asError(err); e.passing && !errors.Is(err, errNoStreams) { // that is the fault of what is between
		c.failedOver(ctx, operation{name: streamOp}, turn, e)
	}
	return err
}

// ask sends the request, and reads the answer up to the first byte of the stream: the broker sends one at
// once, so that it shows whether anything in between holds the stream back.
func (s *stream) ask(ctx context.Context, to *broker) (*http.Response, *bufio.Reader, error) {
	params := wire.StreamMessagesParams{Offset: &s.next, Incarnation: &s.incarnation}
	rsp, err := to.StreamMessages(ctx, s.topic, &params)
	if err != nil {
		return nil, nil, broken(ctx, err)
	}
	if rsp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(rsp.Body, maxAnswerBytes))
		if err != nil {
			return rsp, nil, broken(ctx, err)
		}
		return rsp, nil, noStreams(failed(operation{name: streamOp}, rsp, body))
	}
	if !strings.HasPrefix(rsp.Header.Get("Content-Type"), "text/event-stream") {
		return rsp, nil, fmt.Errorf("%w: the answer is %q", errNoStreams, rsp.Header.Get("Content-Type"))
	}
	in := bufio.NewReaderSize(rsp.Body, 32<<10)
	if _, err := in.Peek(1); err != nil {
		return rsp, nil, fmt.Errorf("%w: nothing of it came: %w", errNoStreams, broken(ctx, err))
	}
	return rsp, in, nil
}

// noStreams finds out whether a refusal means that there are none here. A broker that knows none says
// not_found, which is not topic_not_found.
func noStreams(e *Error) error {
	missing := e.Status == http.StatusNotFound && (e.Code == "" || e.hasCode(wire.FailureCodeNotFound))
	switch e.Status {
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		missing = true
	}
	if missing {
		return fmt.Errorf("%w: %w", errNoStreams, e)
	}
	return e
}

// broken is a connection that was lost, or ended without a word. The next one goes on where it was.
func broken(ctx context.Context, err error) *Error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &Error{Op: streamOp, Message: "the stream broke off", passing: true, cause: err}
}

// read hands over what comes until the stream ends.
func (s *stream) read(ctx context.Context, body io.ReadCloser, in *bufio.Reader) {
	defer close(s.ended)
	defer close(s.batches)
	defer body.Close() //nolint:errcheck // it is only read
	dog := &watchdog{bark: streamSilence, timer: time.AfterFunc(streamSilence, func() {
		s.stop(fmt.Errorf("nothing came for %s", streamSilence))
	})}
	defer dog.stop()
	events := &eventReader{in: in, heard: dog.feed}
	for end := s.next; ; {
		messages, err := s.batch(ctx, events, end)
		dog.stop() // what is not read cannot be heard
		if len(messages) > 0 {
			ready := time.Now()
			select {
			case s.batches <- messages:
				end += int64(len(messages))
				s.lagged = s.lagged || time.Since(ready) > streamLag
			case <-ctx.Done():
				s.err = broken(ctx, nil)
				return
			}
		}
		if err != nil {
			s.err = err
			return
		}
		dog.feed()
	}
}
