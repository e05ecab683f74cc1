package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// writeTable writes rows in columns, the first row as their heading.
func writeTable(w io.Writer, rows [][]string) error {
	text, err := aligned(rows)
	if err != nil {
		return err
	}
	heading, rest, _ := bytes.Cut(text, []byte("\n"))
	_, err = io.WriteString(w, paint(w, bold, string(heading))+"\n"+string(rest))
	return err
}

// writeFacts writes names and values, one fact a line.
func writeFacts(w io.Writer, facts [][]string) error {
	text, err := aligned(facts)
	if err != nil {
		return err
	}
	var b strings.Builder
	i := 0
	for line := range strings.Lines(string(text)) {
		name := facts[i][0]
		b.WriteString(paint(w, bold, name) + strings.TrimPrefix(line, name))
		i++
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// aligned is rows with their cells below each other.
func aligned(rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := io.WriteString(w, strings.Join(row, "\t")+"\n"); err != nil {
			return nil, err
		}
	}
	err := w.Flush()
	return b.Bytes(), err
}

// newLines is an encoder that writes each value as one line of JSON.
func newLines(w io.Writer) *json.Encoder {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return lines
}

// orDash is a cell that is never empty, so that a line always has as many words as there are columns.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// stamp is a time as the commands write it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
