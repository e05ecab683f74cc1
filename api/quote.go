package api

import (
	"encoding/binary"

	"github.com/go-json-experiment/json/jsontext"
)

// appendQuoted writes text as a JSON string. Most payloads are themselves JSON or other ASCII, and those without
// anything to escape are copied as they are.
func appendQuoted(b, text []byte) ([]byte, error) {
	if !plain(text) {
		return jsontext.AppendQuote(b, text)
	}
	return append(append(append(b, '"'), text...), '"'), nil
}

// plain reports whether text is ASCII with nothing that JSON escapes: no control character, quote or backslash. It looks at
// eight bytes at once. In a word of bytes below 0x80, subtracting n from each sets the highest bit of the first that is less than n, and
// maybe of some after it. (Bit Twiddling Hacks by S. E. Anderson, "Determine if a word has a byte less than n".)
func plain(text []byte) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	for ; len(text) >= 8; text = text[8:] {
		word := binary.LittleEndian.Uint64(text)
		quotes, backslashes := word^('"'*ones), word^('\\'*ones) // 0 where there is one
		if (word|(word-' '*ones)|(quotes-ones)|(backslashes-ones))&high != 0 {
			return false
		}
	}
	for _, c := range text {
		if c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
