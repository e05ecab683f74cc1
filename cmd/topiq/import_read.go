package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/topiq/topiq/client"
)

// exportLineBytes bounds one line of an export: far more than a message that brokers take.
const exportLineBytes = 256 << 20

// exportReader reads what `topiq export` has written.
type exportReader struct {
	lines *bufio.Scanner
	sum   hash.Hash // of the lines before this one
	line  int64     // number of the last one, from 1
	head  exportHead
	read  int64 // messages
}

// importLine is a line after the first: a message, or the end.
type importLine struct {
	Offset        int64             `json:"offset"`
	Message       *string           `json:"message"`
	MessageBase64 *[]byte           `json:"message_base64"`
	ProdName      string            `json:"prod_name"`
	Seq           *int64            `json:"seq"`
	Headers       map[string]string `json:"headers"`
	CreatedAt     time.Time         `json:"created_at"`

	End    *int64 `json:"topiq_export_end"`
	SHA256 string `json:"sha256"`
}

// newExportReader reads the first line.
func newExportReader(in io.Reader) (*exportReader, error) {
	r := &exportReader{lines: bufio.NewScanner(in), sum: sha256.New()}
	r.lines.Buffer(nil, exportLineBytes)
	text, err := r.scan()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the input is empty: it was not written by topiq export")
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r.head); err != nil || r.head.Format < 1 {
		return nil, errors.New("line 1 is not the first line of what topiq export writes")
	}
	if r.head.Format != exportFormat {
		return nil, fmt.Errorf("the input has format %d, and this version of topiq knows %d", r.head.Format, exportFormat)
	}
	r.add(text)
	return r, nil
}

func (r *exportReader) scan() ([]byte, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line+1, err)
		}
		return nil, io.EOF
	}
	r.line++
	return r.lines.Bytes(), nil
}

func (r *exportReader) add(text []byte) {
	_, _ = r.sum.Write(text)
	_, _ = r.sum.Write([]byte{'\n'})
}

// next returns the next message, and io.EOF after the last one if all of the export was there.
// The library refuses what encoding/json would quietly change: text that is not UTF-8, lone surrogates,
// members that are there twice.
func (r *exportReader) next() (client.Message, error) {
	text, err := r.scan()
	if errors.Is(err, io.EOF) {
		return client.Message{}, fmt.Errorf("the input ends after %s of %d: it is not whole",
			plural(r.read, "message"), r.head.EndOffset-r.head.FirstOffset)
	}
	if err != nil {
		return client.Message{}, err
	}
	var line importLine
	if err := json.Unmarshal(text, &line, json.RejectUnknownMembers(true)); err != nil {
		return client.Message{}, fmt.Errorf("line %d is not what topiq export writes: it was changed", r.line)
	}
	if line.End != nil {
		return client.Message{}, r.finish(&line)
	}
	if (line.Message == nil) == (line.MessageBase64 == nil) || line.Offset != r.head.FirstOffset+r.read {
		return client.Message{}, fmt.Errorf("line %d is not the message at offset %d", r.line, r.head.FirstOffset+r.read)
	}
	r.add(text)
	r.read++
	m := client.Message{Headers: line.Headers, ProdName: line.ProdName, Seq: line.Seq}
	if line.Message != nil {
		m.Value = []byte(*line.Message)
	} else {
		m.Value, m.Binary = *line.MessageBase64, true
	}
	return m, nil
}

// finish compares the last line with what was read.
func (r *exportReader) finish(line *importLine) error {
	if *line.End != r.read || line.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) || r.read != r.head.EndOffset-r.head.FirstOffset {
		return errors.New("the input was changed since it was exported: its checksum, or the number of its messages, differs")
	}
	if r.lines.Scan() {
		return fmt.Errorf("line %d follows on the end", r.line+1)
	}
	if err := r.lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

// sameMessage reports whether all is equal that an import keeps.
func sameMessage(a, b *client.Message) bool {
	sameSeq := a.Seq == nil && b.Seq == nil || a.Seq != nil && b.Seq != nil && *a.Seq == *b.Seq
	return sameSeq && a.ProdName == b.ProdName && a.Binary == b.Binary && string(a.Value) == string(b.Value) &&
		maps.Equal(a.Headers, b.Headers)
}
