package api

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// TestQuotedIsWhatTheLibraryWrites compares each byte at each place of a text of each length.
func TestQuotedIsWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	for length := range 20 {
		for at := range length {
			for c := range 0x100 {
				text := bytes.Repeat([]byte{'x'}, length)
				text[at] = byte(c)
				sameQuoted(t, text)
				// What is plain and not taken for it would be written as it should be, but slowly.
				if want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'; plain(text) != want {
					t.Errorf("plain(%q) is %t", text, !want)
				}
			}
		}
	}
	sameQuoted(t, nil)
}

func TestQuotedIsWhatTheLibraryWritesOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sameQuoted(t, rapid.SliceOf(rapid.SampledFrom([]byte("ab \"\\\n\x00\x1f\x7f\x80\xc3\xa9\xff{}"))).Draw(t, "text"))
	})
}

func sameQuoted(t rapid.TB, text []byte) {
	t.Helper()
	want, wantErr := jsontext.AppendQuote([]byte("before"), text)
	got, err := appendQuoted([]byte("before"), text)
	if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
		t.Errorf("%q is written as %s, %v, want %s, %v", text, got, err, want, wantErr)
	}
}
