package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/topiq/topiq/gen/wire"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		input string
		want  []string
		err   string
	}{
		"nothing":               {"", nil, "EOF"},
		"one newline":           {"\n", []string{""}, "EOF"},
		"one line":              {"a\n", []string{"a"}, "EOF"},
		"no newline at the end": {"a\nb", []string{"a", "b"}, "EOF"},
		"an empty last line":    {"a\n\n", []string{"a", ""}, "EOF"},
		"carriage returns":      {"a\r\n\rb\n\r", []string{"a\r", "\rb", "\r"}, "EOF"},
		"zeros and no UTF-8":    {"\x00\n\xff\xfe\n", []string{"\x00", "\xff\xfe"}, "EOF"},
		"as long as allowed":    {"12345678\n12345678", []string{"12345678", "12345678"}, "EOF"},
		"too long":              {"1\n123456789\n2\n", []string{"1"}, "line 2 is longer than 8 bytes, the largest message that the broker takes"},
		"too long without end":  {"1\n\n123456789", []string{"1", ""}, "line 3 is longer than 8 bytes, the largest message that the broker takes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []io.Reader{strings.NewReader(test.input), iotest.OneByteReader(strings.NewReader(test.input))} {
				r := newLineReader(in, 8)
				var got []string
				var b batch
				for b.err == nil {
					b = r.batch(3)
					if b.first != int64(len(got))+1 {
						t.Errorf("a batch begins with line %d after %d lines", b.first, len(got))
					}
					for _, line := range b.lines {
						got = append(got, string(line))
					}
				}
				if !slices.Equal(got, test.want) || b.err.Error() != test.err {
					t.Errorf("got %q, %v; want %q, %s", got, b.err, test.want, test.err)
				}
			}
		})
	}
}

// TestLongLines reads lines that are longer than the buffer.
func TestLongLines(t *testing.T) {
	t.Parallel()
	const long = 3 << 20
	input := bytes.Repeat([]byte("x"), long)
	input = append(append(input, "\nshort\n"...), input...)
	r := newLineReader(bytes.NewReader(input), long)
	for i, want := range []int{long, 5, long} {
		if line, err := r.next(); err != nil || len(line) != want {
			t.Fatalf("line %d has %d bytes, want %d; %v", i+1, len(line), want, err)
		}
	}
	if _, err := newLineReader(bytes.NewReader(input), long-1).next(); err == nil {
		t.Error("a line that is one byte too long was taken")
	}
}

func TestLinesReadFailure(t *testing.T) {
	t.Parallel()
	failure := errors.New("the disk is gone")
	b := newLineReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(failure)), 8).batch(9)
	if len(b.lines) != 1 || b.err != nil {
		t.Errorf("got %q, %v; want the line that is whole first", b.lines, b.err)
	}
	r := newLineReader(io.MultiReader(strings.NewReader("b"), iotest.ErrReader(failure)), 8)
	if b := r.batch(9); len(b.lines) != 0 || !errors.Is(b.err, failure) {
		t.Errorf("half a line before a failure: %q, %v", b.lines, b.err)
	}
}

// TestTypedLinesAreNotHeldBack checks that a line which somebody types is sent before the next.
func TestTypedLinesAreNotHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, typed := io.Pipe()
		batches := newLineReader(in, 80).batches(t.Context(), 100)
		for _, line := range []string{"first", "second"} {
			if _, err := io.WriteString(typed, line+"\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			select {
			case b := <-batches:
				if len(b.lines) != 1 || string(b.lines[0]) != line {
					t.Errorf("got %q, want %q", b.lines, line)
				}
			default:
				t.Errorf("%q is held back", line)
			}
		}
		_ = typed.Close()
		if b := <-batches; !errors.Is(b.err, io.EOF) {
			t.Errorf("at the end: %v", b.err)
		}
	})
}

// TestEncodedSize checks that a line never takes more of a request than was thought.
func TestEncodedSize(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.StringOf(rapid.RuneFrom([]rune("\x00\x1f\"\\\u2028\u2029<>&é\x7f"))), func(s string) []byte { return []byte(s) }),
		).Draw(t, "line")
		if got, atMost := encoded(t, line), encodedSize(line); got > atMost {
			t.Errorf("%q takes %d bytes, thought to be at most %d", line, got, atMost)
		}
		if message(line).Binary == utf8.Valid(line) {
			t.Errorf("%q is of the wrong kind", line)
		}
	})
}

// encoded is how many bytes a line takes among the messages of a request, its comma included.
func encoded(t *rapid.T, line []byte) int {
	m := wire.ProduceMessage{MessageBase64: &line}
	if text := string(line); utf8.Valid(line) {
		m = wire.ProduceMessage{Message: &text}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		t.Fatal(err)
	}
	return b.Len() // with a newline where the comma will be
}
