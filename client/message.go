package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/topiq/topiq/gen/wire"
)

// Message is one message of a topic. To send one, set Value, Binary and Headers, or use [Text] or [Bytes];
// the other fields are filled in on messages that a consumer gets, and ignored when sending. A message of
// one topic can therefore be sent to another as it is.
type Message struct {
	Topic  string
	Offset int64 // the position in the topic: 0, 1, 2, …
	// Value is the text or the bytes; it may be empty. The broker takes up to 1 MiB by default.
	Value []byte
	// Binary says that Value is bytes. Otherwise it is text and must be valid UTF-8. The kind is stored.
	Binary bool
	// Headers are small notes: by default at most 32, with 8 KiB of names and values.
	Headers   map[string]string
	ProdName  string    // the name of the producer; empty if it had none
	Seq       *int64    // the producer's own number of the message; nil if it was sent without one
	CreatedAt time.Time // when it was stored
}

// Text returns a message that is text.
func Text(text string) Message { return Message{Value: []byte(text)} }

// Bytes returns a message that is bytes. The message shares them with the caller until it is sent.
func Bytes(value []byte) Message { return Message{Value: value, Binary: true} }

// encode returns the message as a member of a produce request. JSON has no way to write text that is not
// UTF-8 (the encoder would silently replace bytes of it), so that is refused here.
func (m *Message) encode(defaults map[string]string) ([]byte, error) {
	headers := m.Headers
	if len(defaults) > 0 {
		headers = maps.Clone(defaults)
		maps.Copy(headers, m.Headers)
	}
	for name, value := range headers {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, invalid("headers", "%q: %q is not valid UTF-8", name, value)
		}
	}
	out := wire.ProduceMessage{Headers: headers}
	if m.Binary {
		value := m.Value
		if value == nil {
			value = []byte{} // nil would be written as null
		}
		out.MessageBase64 = &value
	} else {
		if !utf8.Valid(m.Value) {
			return nil, invalid("message", "the text is not valid UTF-8; send it as bytes")
		}
		text := string(m.Value)
		out.Message = &text
	}
	return encodeJSON(out)
}

// encodeJSON encodes without the escapes that are only of use inside HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeMessage turns a message of an answer into one for the caller.
func decodeMessage(topic string, in *wire.LogMessage) (Message, error) {
	m := Message{
		Topic: topic, Offset: in.Offset, Headers: in.Headers,
		ProdName: orEmpty(in.ProdName), Seq: in.Seq, CreatedAt: in.CreatedAt,
	}
	switch {
	case in.Message != nil && in.MessageBase64 == nil:
		m.Value = []byte(*in.Message)
	case in.MessageBase64 != nil && in.Message == nil:
		m.Value, m.Binary = *in.MessageBase64, true
	default:
		return m, errors.New("a message has not exactly one of message and message_base64")
	}
	return m, nil
}

// decodeMessages turns the messages of an answer, which must begin at an offset and have no gap.
func decodeMessages(topic string, offset int64, in []wire.LogMessage) ([]Message, error) {
	messages := make([]Message, 0, len(in))
	for i := range in {
		if in[i].Offset != offset+int64(i) {
			return nil, fmt.Errorf("the message at offset %d is missing", offset+int64(i))
		}
		m, err := decodeMessage(topic, &in[i])
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// checkName refuses what cannot be a name. How long it may be is the broker's setting.
func checkName(field, name string) error {
	if name == "" || name == "." || name == ".." {
		return invalid(field, "%q is not a name", name)
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		default:
			return invalid(field, "%q has characters other than letters, digits, dot, underscore and hyphen", name)
		}
	}
	return nil
}
