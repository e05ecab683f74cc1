package api

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/topiq/topiq/service"
)

// The answers with messages are written here, straight from what the service answers: any library
// would need a value of the generated types for each message, and looks at each of their members by
// reflection. A test compares them with what the library makes of those types.

// encoder is an answer that can be written. An error means that what is stored is no valid text.
type encoder interface {
	appendTo(b []byte) ([]byte, error)
}

type (
	produced     service.ProduceResult
	messagesRead service.ReadResult
	consumed     struct {
		service.ConsumeResult
		plain bool
	}
)

func (a *produced) appendTo(b []byte) ([]byte, error) {
	r := (*service.ProduceResult)(a)
	b = appendInteger(b, `{"count":`, r.Count)
	b = strconv.AppendBool(append(b, `,"duplicate":`...), r.Duplicate)
	b = appendPlain(b, `,"durable":`, string(r.Durability))
	b = appendPlain(b, `,"incarnation":`, r.Incarnation)
	if offset, ok := r.Offset(); ok {
		b = appendInteger(b, `,"offset":`, offset)
	}
	if len(r.Ranges) > 1 {
		b = append(b, `,"ranges":[`...)
		for i := range r.Ranges {
			b = appendRange(append(b, separator(i)...), &r.Ranges[i])
		}
		b = append(b, ']')
	}
	return append(b, `,"status":"success"}`...), nil
}

func appendRange(b []byte, r *service.Range) []byte {
	b = appendInteger(b, `{"count":`, r.Count)
	if r.Offset >= 0 { // it was not trimmed
		b = appendInteger(b, `,"offset":`, r.Offset)
	}
	return append(appendInteger(b, `,"seq":`, r.Seq), '}')
}

func (a *messagesRead) appendTo(b []byte) ([]byte, error) {
	b = appendInteger(b, `{"end_offset":`, a.Head.Next)
	b = appendInteger(b, `,"first_offset":`, a.Head.First)
	b = appendPlain(b, `,"incarnation":`, a.Head.Incarnation)
	b, err := appendMessages(append(b, ','), a.Messages)
	b = appendInteger(b, `,"next_offset":`, a.Next)
	return append(b, `,"status":"success"}`...), err
}

func (a *consumed) appendTo(b []byte) (_ []byte, err error) {
	if a.plain { // the members of the message, but for its offset, are those of the answer
		m := &a.Messages[0]
		if b, err = appendNotes(append(b, '{'), m, &instant{}); err != nil {
			return b, err
		}
		b = appendPlain(b, `,"incarnation":`, a.Incarnation)
		if b, err = appendPayload(b, m); err != nil {
			return b, err
		}
		b = appendInteger(b, `,"offset":`, a.Offset)
		return append(appendProducer(b, m), `,"status":"success"}`...), nil
	}
	b = appendPlain(b, `{"incarnation":`, a.Incarnation)
	b, err = appendMessages(append(b, ','), a.Messages)
	b = appendInteger(b, `,"offset":`, a.Offset)
	return append(b, `,"status":"success"}`...), err
}

// appendMessages writes an array, also where there is nothing to be in it.
func appendMessages(b []byte, messages []service.Message) (_ []byte, err error) {
	b = append(b, `"messages":[`...)
	var at instant
	for i := range messages {
		if b, err = appendMessage(append(b, separator(i)...), &messages[i], &at); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendMessage(b []byte, m *service.Message, at *instant) (_ []byte, err error) {
	if b, err = appendNotes(append(b, '{'), m, at); err != nil {
		return b, err
	}
	if b, err = appendPayload(b, m); err != nil {
		return b, err
	}
	b = appendInteger(b, `,"offset":`, m.Offset)
	return append(appendProducer(b, m), '}'), nil
}

// appendNotes writes the members that stand before the payload; all are in the order of the alphabet.
func appendNotes(b []byte, m *service.Message, at *instant) (_ []byte, err error) {
	b = append(at.appendTo(append(b, `"created_at":"`...), m.CreatedAt), '"')
	if len(m.Headers) > 0 {
		b, err = appendHeaders(append(b, `,"headers":`...), m.Headers)
	}
	return b, err
}

func appendPayload(b []byte, m *service.Message) ([]byte, error) {
	if m.Binary {
		b = append(b, `,"message_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(b, m.Bytes), '"'), nil
	}
	return appendQuoted(append(b, `,"message":`...), m.Bytes)
}

func appendProducer(b []byte, m *service.Message) []byte {
	if m.ProdName != "" {
		b = appendPlain(b, `,"prod_name":`, m.ProdName)
	}
	if m.Seq != service.NoSeq {
		b = appendInteger(b, `,"seq":`, m.Seq)
	}
	return b
}

// instant is a time and how it is written. Messages that were committed together have the same.
type instant struct {
	time time.Time
	text []byte
}

func (i *instant) appendTo(b []byte, t time.Time) []byte {
	if i.text == nil || !t.Equal(i.time) {
		i.time = t
		i.text = t.UTC().AppendFormat(i.text[:0], time.RFC3339Nano)
	}
	return append(b, i.text...)
}

func appendHeaders(b []byte, headers service.Headers) (_ []byte, err error) {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if b, err = jsontext.AppendQuote(append(b, separator(i)...), name); err != nil {
			return b, err
		}
		if b, err = jsontext.AppendQuote(append(b, ':'), headers[name]); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// separator is what stands before an element of an array or object.
func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func appendInteger[T ~int | ~int64](b []byte, member string, n T) []byte {
	return strconv.AppendInt(append(b, member...), int64(n), 10)
}

// appendPlain writes a string of which no character is written otherwise in JSON: a name, a token, a
// word of the document.
func appendPlain(b []byte, member, s string) []byte {
	b = append(append(b, member...), '"')
	return append(append(b, s...), '"')
}
