package service

import (
	"fmt"
	"hash/crc32"
)

// Checksum is a CRC-32C over all that an engine stores of a message: its topic and offset, name, seq and
// time, kind, payload and headers (in the form of Headers.Encode). Engines on a disk store it beside the
// message. It is part of the stored format.
//
// A database finds a changed bit where that breaks its own structures; in a payload it does not, unless
// its pages have checksums. A CRC finds every change of up to 32 bits in a row, and all but one in four
// billion of the others. It is no defence against whoever can write to the store.
func Checksum(topic TopicID, m *Message, headers []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // the library makes it once
	// What is handed to the library is allocated, so the short parts are not.
	sum := ^uint32(0)
	for _, n := range [...]int64{
		int64(topic), int64(m.Offset), m.Seq, m.CreatedAt.UnixMicro(),
		int64(len(m.ProdName)), int64(len(m.Bytes)), int64(len(headers)), // so that nothing can move from one to the next
	} {
		for range 8 { // in little-endian order
			sum = table[byte(sum)^byte(n)] ^ sum>>8
			n >>= 8
		}
	}
	var kind byte
	if m.Binary {
		kind = 1
	}
	sum = table[byte(sum)^kind] ^ sum>>8
	for i := range len(m.ProdName) {
		sum = table[byte(sum)^m.ProdName[i]] ^ sum>>8
	}
	return crc32.Update(crc32.Update(^sum, table, m.Bytes), table, headers)
}

// VerifyChecksum compares a message that was read with the checksum stored beside it. nil is none: the
// message is from before there were any, and passes. A difference is ErrInternal, and stops the topic.
func VerifyChecksum(topic TopicID, m *Message, headers []byte, stored *int64) error {
	if stored == nil {
		return nil
	}
	if sum := int64(Checksum(topic, m, headers)); sum != *stored {
		return ErrInternal.Because(&damageError{*m, sum, *stored})
	}
	return nil
}

// damageError says that a message is not the one that was stored.
type damageError struct {
	message     Message // as it was read
	sum, stored int64
}

func (e *damageError) Error() string {
	return fmt.Sprintf("the message at offset %d is not the one that was stored: its checksum is %08x, not %08x",
		e.message.Offset, e.sum, e.stored)
}
