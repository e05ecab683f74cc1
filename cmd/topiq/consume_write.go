package main

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"github.com/topiq/topiq/client"
)

// messageWriter writes messages, each as one line.
type messageWriter struct {
	out   *bufio.Writer
	lines *json.Encoder // nil for messages as they are
}

func newMessageWriter(w io.Writer, asJSON bool) *messageWriter {
	m := &messageWriter{out: bufio.NewWriterSize(w, 64<<10)}
	if asJSON {
		m.lines = newLines(m.out)
	}
	return m
}

// writeAll writes messages and lets them out.
func (w *messageWriter) writeAll(messages []client.Message) error {
	for i := range messages {
		if err := w.write(&messages[i]); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

func (w *messageWriter) write(m *client.Message) error {
	if w.lines != nil {
		return w.lines.Encode(jsonMessage(m))
	}
	if _, err := w.out.Write(m.Value); err != nil {
		return err
	}
	return w.out.WriteByte('\n')
}

// messageJSON is a message as `topiq consume --json` writes it, with the names of the HTTP API.
type messageJSON struct {
	Offset        int64             `json:"offset"`
	Message       *string           `json:"message,omitempty"`
	MessageBase64 *[]byte           `json:"message_base64,omitempty"`
	ProdName      string            `json:"prod_name,omitempty"`
	Seq           *int64            `json:"seq,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
}

func jsonMessage(m *client.Message) messageJSON {
	line := messageJSON{
		Offset: m.Offset, ProdName: m.ProdName, Seq: m.Seq, Headers: m.Headers, CreatedAt: m.CreatedAt.UTC(),
	}
	if m.Binary {
		line.MessageBase64 = &m.Value
		return line
	}
	text := string(m.Value)
	line.Message = &text
	return line
}
