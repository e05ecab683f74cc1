package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
)

// Digest stands for the content of a message: two messages with the same digest are the same.
type Digest [16]byte

// String shows the beginning of the digest.
func (d Digest) String() string { return hex.EncodeToString(d[:6]) }

// DigestOf is the digest of a message's kind, bytes and headers.
func DigestOf(binaryKind bool, content []byte, headers map[string]string) Digest {
	h := sha256.New()
	write := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	kind := []byte("text")
	if binaryKind {
		kind = []byte("bytes")
	}
	write(kind)
	write(content)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		write([]byte(name))
		write([]byte(headers[name]))
	}
	return Digest(h.Sum(nil))
}
