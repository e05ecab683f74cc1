package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"time"
)

// TopicName names a topic: 1–128 of A–Z a–z 0–9 . _ -, not "." or "..".
// Names that differ only in letter case are different names.
type TopicName string

// Offset is a message's position in its topic: 0, 1, 2, … in commit order, never reused, never
// skipped. A consumer's Offset is the position of the message it gets next.
type Offset int64

// Ids are never reused and carry the bucket of their topic in their low 8 bits, so that an id
// alone finds its shard.
type (
	// TopicID identifies one life of a topic: a topic created again under an old name has a new id.
	TopicID int64
	// ProducerID identifies one registration of a producer on one topic.
	ProducerID int64
	// ConsumerID identifies one registration of a consumer on one topic.
	ConsumerID int64
)

// MaxInteger is the largest offset, seq, epoch and id on the wire: the largest integer that
// every JSON library keeps exactly (2^53 − 1).
const MaxInteger = 1<<53 - 1

// Buckets is the number of shards topics are spread over. It never changes.
const Buckets = 256

// Bucket is a topic's shard: the first column of every key in the database.
type Bucket int32

// BucketOf returns the shard of a topic: FNV-1a (32 bit) of the name's bytes, modulo 256.
// It is part of the stored format and of the contract.
func BucketOf(name TopicName) Bucket {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return Bucket(h.Sum32() % Buckets)
}

// BucketOfID returns the shard an id carries in its low 8 bits.
func BucketOfID[ID ~int64](id ID) Bucket { return Bucket(id & (Buckets - 1)) }

// NewID makes an id out of a bucket's counter value (1, 2, 3, …).
func NewID(counter int64, bucket Bucket) int64 { return counter<<8 | int64(bucket) }

// NoSeq marks a message that was produced without a sequence number (P6).
const NoSeq int64 = -1

// Headers are a message's small string map. Order does not matter.
type Headers map[string]string

// Payload is what a producer hands over: text or bytes (the kind is kept and given back) and
// optional headers. It is never modified after it was handed to the broker.
type Payload struct {
	Bytes   []byte
	Binary  bool
	Headers Headers
}

// Size is the number of bytes a payload counts for: its bytes and those of its headers.
func (p *Payload) Size() int64 {
	n := len(p.Bytes)
	for k, v := range p.Headers {
		n += len(k) + len(v)
	}
	return int64(n)
}

// Same reports whether q repeats p: kind, bytes and headers are equal. Trace context
// (traceparent, tracestate) is not compared, for a retry is a new span (P4).
func (p *Payload) Same(q *Payload) bool {
	return p.Binary == q.Binary && bytes.Equal(p.Bytes, q.Bytes) &&
		maps.Equal(p.Headers.withoutTrace(), q.Headers.withoutTrace())
}

func (h Headers) withoutTrace() Headers {
	_, parent := h["traceparent"]
	_, state := h["tracestate"]
	if !parent && !state {
		return h
	}
	rest := maps.Clone(h)
	delete(rest, "traceparent")
	delete(rest, "tracestate")
	return rest
}

// Encode returns the stored form of headers: a JSON object with sorted names, nil for none.
func (h Headers) Encode() []byte {
	if len(h) == 0 {
		return nil
	}
	b, err := json.Marshal(map[string]string(h))
	if err != nil {
		panic(fmt.Sprintf("service: headers do not encode: %v", err)) // a map of strings always does
	}
	return b
}

// DecodeHeaders is the inverse of Encode. An error means that the stored row is damaged.
func DecodeHeaders(stored []byte) (Headers, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	var h Headers
	if err := json.Unmarshal(stored, &h); err != nil {
		return nil, fmt.Errorf("stored headers: %w", err)
	}
	return h, nil
}

// Message is one stored message. Messages are shared between readers and never modified.
type Message struct {
	Payload
	Offset Offset
	// ProdName is the producer's name, "" when it was produced without one.
	ProdName string
	// Seq is the producer's own number of the message, or NoSeq.
	Seq int64
	// CreatedAt is when it was stored (broker's clock, UTC, microseconds). Within a topic it
	// never decreases with the offset, so that a time can be looked up by binary search.
	CreatedAt time.Time
}
