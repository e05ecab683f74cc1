package service

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits are the maxima of everything a caller can make large. Zero fields get the default.
type Limits struct {
	// RequestBytes bounds a request's body, and the sum of a produce request's payloads. 8 MiB.
	RequestBytes int64
	// MessageBytes bounds one message, headers not counted. 1 MiB.
	MessageBytes int64
	// Messages bounds the messages of one produce request. 10,000.
	Messages int
	// HeaderEntries and HeaderBytes bound the headers of one message. 32 and 8 KiB.
	HeaderEntries int
	HeaderBytes   int64
	// ReadMessages and ReadBytes bound one answer; the defaults are for callers that do not say.
	// 10,000 (default 100) and 8 MiB (default 4 MiB).
	ReadMessages, DefaultReadMessages int
	ReadBytes, DefaultReadBytes       int64
	// Wait bounds a long poll; Waiters how many may wait at a time. 60 s and 20,000.
	Wait    time.Duration
	Waiters int
	// QueueRequests and QueueBytes bound what waits to be committed. 20,000 and 64 MiB.
	QueueRequests int
	QueueBytes    int64
	// TailBytes bounds the messages kept in memory near the ends of topics. 64 MiB.
	TailBytes int64
	// StreamBytes bounds the messages that streams were given and that have not gone out yet, all together: a
	// stream that has something to tell waits for its share. 64 MiB.
	StreamBytes int64
	// ListEntries bounds one page of a list; the default is for callers that do not say.
	// 10,000 (default 100).
	ListEntries, DefaultListEntries int
}

// MaxNameBytes is the length of the longest topic, producer and consumer name.
const MaxNameBytes = 128

// MaxTokenBytes is the length of the longest instance and incarnation.
const MaxTokenBytes = 128

// DefaultLimits returns the limits of contract section 3.
func DefaultLimits() Limits {
	return Limits{
		RequestBytes: 8 << 20, MessageBytes: 1 << 20, Messages: 10_000,
		HeaderEntries: 32, HeaderBytes: 8 << 10,
		ReadMessages: 10_000, DefaultReadMessages: 100, ReadBytes: 8 << 20, DefaultReadBytes: 4 << 20,
		Wait: 60 * time.Second, Waiters: 20_000,
		QueueRequests: 20_000, QueueBytes: 64 << 20, TailBytes: 64 << 20, StreamBytes: 64 << 20,
		ListEntries: 10_000, DefaultListEntries: 100,
	}
}

func (l *Limits) withDefaults() Limits {
	d, set := DefaultLimits(), *l
	orDefault(&set.RequestBytes, d.RequestBytes)
	orDefault(&set.MessageBytes, d.MessageBytes)
	orDefault(&set.Messages, d.Messages)
	orDefault(&set.HeaderEntries, d.HeaderEntries)
	orDefault(&set.HeaderBytes, d.HeaderBytes)
	orDefault(&set.ReadMessages, d.ReadMessages)
	orDefault(&set.DefaultReadMessages, min(d.DefaultReadMessages, set.ReadMessages))
	orDefault(&set.ReadBytes, d.ReadBytes)
	orDefault(&set.DefaultReadBytes, min(d.DefaultReadBytes, set.ReadBytes))
	orDefault(&set.Wait, d.Wait)
	orDefault(&set.Waiters, d.Waiters)
	orDefault(&set.QueueRequests, d.QueueRequests)
	orDefault(&set.QueueBytes, d.QueueBytes)
	orDefault(&set.TailBytes, d.TailBytes)
	orDefault(&set.StreamBytes, max(d.StreamBytes, set.largestShare()))
	orDefault(&set.ListEntries, d.ListEntries)
	orDefault(&set.DefaultListEntries, min(d.DefaultListEntries, set.ListEntries))
	return set
}

// Validate refuses limits that contradict each other. Zero fields count as their defaults.
func (l *Limits) Validate() error {
	d := l.withDefaults()
	l = &d
	switch {
	case l.MessageBytes > l.RequestBytes:
		return fmt.Errorf("a message may have %d bytes but a request only %d: raise request bytes", l.MessageBytes, l.RequestBytes)
	case requestSize(l.Messages, l.RequestBytes) > l.QueueBytes:
		return fmt.Errorf("the commit queue holds %d bytes, less than one request may need: raise queue bytes or lower request bytes", l.QueueBytes)
	case l.StreamBytes < l.largestShare():
		return fmt.Errorf("streams may hold %d bytes together, less than one message may need: raise stream bytes or lower message bytes",
			l.StreamBytes)
	case l.DefaultReadMessages > l.ReadMessages, l.DefaultReadBytes > l.ReadBytes, l.DefaultListEntries > l.ListEntries:
		return errors.New("a default of an answer is above its maximum")
	}
	return nil
}

// largestShare is the most that one stream is given at a time: a page, or one message.
func (l *Limits) largestShare() int64 { return max(streamBytes, l.MessageBytes+l.HeaderBytes) }

// requestSize is what a produce request counts for in the commit queue.
func requestSize(messages int, payload int64) int64 { return 256 + 64*int64(messages) + payload }

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// CheckName refuses what is not a name: 1–128 of A–Z a–z 0–9 . _ -, not "." or "..". field is
// the member or parameter it came in.
func CheckName[N ~string](field string, name N) error {
	if name == "" || len(name) > MaxNameBytes {
		return Invalid(field, "must have 1 to %d characters", MaxNameBytes)
	}
	if name == "." || name == ".." {
		return Invalid(field, "must not be . or ..")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return Invalid(field, "may contain only A-Z a-z 0-9 . _ -")
		}
	}
	return nil
}

// checkOptionalName is CheckName for a name that may be absent.
func checkOptionalName(field, name string) error {
	if name == "" {
		return nil
	}
	return CheckName(field, name)
}

// checkToken bounds an instance or incarnation: any text without control characters, which not
// every database stores, but not without end.
func checkToken(field, token string) error {
	if len(token) > MaxTokenBytes || !utf8.ValidString(token) || strings.ContainsFunc(token, unicode.IsControl) {
		return Invalid(field, "must be text of at most %d bytes without control characters", MaxTokenBytes)
	}
	return nil
}

// checkInteger refuses an integer outside least … MaxInteger.
func checkInteger[T ~int64](field string, v, least T) error {
	if v < least || v > MaxInteger {
		return Invalid(field, "must be between %d and %d", int64(least), int64(MaxInteger))
	}
	return nil
}

// checkPayloads checks the messages of one produce request.
func (l *Limits) checkPayloads(payloads []Payload) error {
	if len(payloads) == 0 {
		return Invalid("messages", "must hold at least one message")
	}
	if len(payloads) > l.Messages {
		return &Error{Code: CodeRequestTooLarge, Message: fmt.Sprintf("a request may have at most %d messages", l.Messages)}
	}
	var total int64
	for i := range payloads {
		if err := l.checkPayload(&payloads[i]); err != nil {
			return err
		}
		total += payloads[i].Size()
	}
	if total > l.RequestBytes {
		return ErrRequestTooLarge.With(Facts{MaxBytes: fact(l.RequestBytes)})
	}
	return nil
}

func (l *Limits) checkPayload(p *Payload) error {
	if int64(len(p.Bytes)) > l.MessageBytes {
		return ErrMessageTooLarge.With(Facts{MaxBytes: fact(l.MessageBytes)})
	}
	if !p.Binary && !utf8.Valid(p.Bytes) {
		return Invalid("message", "must be valid UTF-8; send bytes as message_base64")
	}
	if len(p.Headers) > l.HeaderEntries {
		return Invalid("headers", "must have at most %d entries", l.HeaderEntries)
	}
	var n int64
	for k, v := range p.Headers {
		n += int64(len(k) + len(v))
		if k == "" {
			return Invalid("headers", "must not have an empty name")
		}
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return Invalid("headers", "must be valid UTF-8")
		}
	}
	if n > l.HeaderBytes {
		return Invalid("headers", "must have at most %d bytes in all", l.HeaderBytes)
	}
	return nil
}

// window is how much one answer may hold.
type window struct {
	limit    int
	maxBytes int64
}

// window checks the limit and max_bytes of a read; nil is the default.
func (l *Limits) window(limit *int, maxBytes *int64) (window, error) {
	w := window{l.DefaultReadMessages, l.DefaultReadBytes}
	if limit != nil {
		if *limit < 1 || *limit > l.ReadMessages {
			return w, Invalid("limit", "must be between 1 and %d", l.ReadMessages)
		}
		w.limit = *limit
	}
	if maxBytes != nil {
		if *maxBytes < 1 || *maxBytes > l.ReadBytes {
			return w, Invalid("max_bytes", "must be between 1 and %d", l.ReadBytes)
		}
		w.maxBytes = *maxBytes
	}
	return w, nil
}

// answer checks what reads and consumes may ask for of their answer.
func (l *Limits) answer(incarnation string, limit *int, maxBytes *int64, wait *time.Duration) (window, time.Duration, error) {
	if err := checkToken("incarnation", incarnation); err != nil {
		return window{}, 0, err
	}
	w, err := l.window(limit, maxBytes)
	if err != nil || wait == nil {
		return w, 0, err
	}
	if *wait < 0 || *wait > l.Wait {
		return window{}, 0, Invalid("wait", "must be between 0 and %d seconds", int(l.Wait.Seconds()))
	}
	return w, *wait, nil
}

func (l *Limits) page(limit *int) (int, error) {
	if limit == nil {
		return l.DefaultListEntries, nil
	}
	if *limit < 1 || *limit > l.ListEntries {
		return 0, Invalid("limit", "must be between 1 and %d", l.ListEntries)
	}
	return *limit, nil
}
