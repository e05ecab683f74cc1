package service_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// message is one with all that a message can have.
func checkedMessage() service.Message {
	return service.Message{
		Payload: service.Payload{Bytes: []byte("payload"), Headers: service.Headers{"b": "2", "a": "1"}},
		Offset:  7, ProdName: "shop", Seq: 3, CreatedAt: time.Date(2026, 3, 1, 9, 30, 0, 5000, time.UTC),
	}
}

// TestChecksumIsStoredFormat: it must never change.
func TestChecksumIsStoredFormat(t *testing.T) {
	t.Parallel()
	m := checkedMessage()
	if got := service.Checksum(497, &m, m.Headers.Encode()); got != checksumThen {
		t.Errorf("%#08x, was %#08x", got, checksumThen)
	}
}

// TestChecksumSeesEverything: each part of a message, and where one ends and the next begins.
func TestChecksumSeesEverything(t *testing.T) {
	t.Parallel()
	seen := map[uint32]string{}
	note := func(what string, topic service.TopicID, change func(*service.Message)) {
		m := checkedMessage()
		change(&m)
		sum := service.Checksum(topic, &m, m.Headers.Encode())
		if other, ok := seen[sum]; ok {
			t.Errorf("%s has the checksum of %s", what, other)
		}
		seen[sum] = what
	}
	note("the message", 1, func(*service.Message) {})
	note("of another topic", 2, func(*service.Message) {})
	note("at another offset", 1, func(m *service.Message) { m.Offset++ })
	note("with another seq", 1, func(m *service.Message) { m.Seq++ })
	note("without a seq", 1, func(m *service.Message) { m.Seq = service.NoSeq })
	note("of another time", 1, func(m *service.Message) { m.CreatedAt = m.CreatedAt.Add(time.Microsecond) })
	note("of the other kind", 1, func(m *service.Message) { m.Binary = true })
	note("with other headers", 1, func(m *service.Message) { m.Headers = service.Headers{"a": "1"} })
	note("without headers", 1, func(m *service.Message) { m.Headers = nil })
	note("under another name", 1, func(m *service.Message) { m.ProdName = "shoP" })
	note("with a part of the payload in the name", 1, func(m *service.Message) { m.ProdName, m.Bytes = "shopp", []byte("ayload") })
	for bit := range len("payload") * 8 {
		note(fmt.Sprintf("with bit %d changed", bit), 1, func(m *service.Message) {
			m.Bytes = []byte("payload")
			m.Bytes[bit/8] ^= 1 << (bit % 8)
		})
	}
}

func TestVerifyChecksum(t *testing.T) {
	t.Parallel()
	m := checkedMessage()
	right := int64(service.Checksum(497, &m, m.Headers.Encode()))
	wrong := right ^ 1
	for _, c := range []struct {
		name   string
		stored *int64
		fails  bool
	}{{"right", &right, false}, {"wrong", &wrong, true}, {"none", nil, false}} {
		if err := service.VerifyChecksum(497, &m, m.Headers.Encode(), c.stored); errors.Is(err, service.ErrInternal) != c.fails {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// BenchmarkChecksum is what each message costs when it is stored, and again when it is read.
func BenchmarkChecksum(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			m := service.Message{Payload: service.Payload{Bytes: make([]byte, size)}, ProdName: "shop", CreatedAt: time.Now()}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				service.Checksum(497, &m, nil)
			}
		})
	}
}

// checksumThen is what the first version computed.
const checksumThen = 0xa07022cc
