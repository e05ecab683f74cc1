package dbtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/topiq/topiq/service"
)

func readTests() []test {
	return []test{
		{"BytesComeBackAsTheyWere", bytesComeBack},
		{"LimitAndMaxBytesAreKept", limitAndMaxBytes},
		{"NothingOutsideTheLog", nothingOutside},
		{"AnswersAreImmutable", answersAreImmutable},
		{"FindTimeFindsTheFirstAtOrAfter", findTime},
		{"FindTimeOfAMissingTopicIsRefused", findTimeMissing},
	}
}

func bytesComeBack(k *kit) {
	large := make([]byte, 1<<20)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range large {
		large[i] = byte(source.Uint32())
	}
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	odd := service.Headers{
		"": "", "empty": "", "nul": "a\x00b", "quote": `"'\`, "html": "<&>", "line": "a\r\n\tb",
		"unicode": "héß漢\u2028\ufeff😀", "ключ": "value", "%_": "$1 ?1 :a",
	}
	payloads := []service.Payload{
		{},
		{Binary: true},
		{Bytes: []byte("text")},
		{Bytes: []byte("text"), Binary: true},
		{Bytes: []byte("a\x00b\x00")},
		{Bytes: []byte("héß漢\u2028\ufeff😀 '\"\\ %_ $1")},
		{Bytes: all, Binary: true},
		{Bytes: []byte("\xff\xfe\xc0\xaf\xed\xa0\x80"), Binary: true},
		{Bytes: large, Binary: true, Headers: service.Headers{"k": "v"}},
		{Bytes: bytes.Repeat([]byte("long "), 1<<20/5), Headers: odd},
		{Headers: service.Headers{"only": "headers"}},
		{Bytes: []byte("x"), Headers: service.Headers{"k": strings.Repeat("v", 8000)}},
		{Bytes: []byte(`{"json": "\u0000"}`)},
	}
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	r := sendSeq(p, 0)
	r.Payloads = payloads
	k.answers(k.append(r), fmt.Sprintf("0@0*%d", len(payloads)))
	for i, m := range k.log(head.Name) {
		same := bytes.Equal(m.Bytes, payloads[i].Bytes) && m.Binary == payloads[i].Binary
		if !same || m.Size() != payloads[i].Size() {
			k.Errorf("payload %d came back changed", i)
		}
		equal(k, fmt.Sprintf("headers of payload %d", i), m.Headers, payloads[i].Headers)
	}
	k.answers(k.append(r), fmt.Sprintf("0@0*%d dup", len(payloads)))
}

func limitAndMaxBytes(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "")
	r := send(p, "0123456789", "0123456789", "01234567", "0123456789", "", "")
	r.Payloads[2].Headers = service.Headers{"k": "v"} // so that each of the first four has 10 bytes
	k.answers(k.append(r), "-@0*6")
	for _, row := range []struct {
		from     service.Offset
		limit    int
		maxBytes int64
		want     int
	}{
		{0, 100, 1000, 6},
		{0, 6, 1000, 6},
		{0, 5, 1000, 5},
		{0, 1, 1000, 1},
		{3, 100, 1000, 3},
		{3, 2, 1000, 2},
		{5, 100, 1000, 1},
		{0, 100, 40, 6},
		{0, 100, 39, 3},
		{0, 100, 30, 3},
		{0, 100, 29, 2},
		{0, 100, 20, 2},
		{0, 100, 19, 1},
		{0, 100, 10, 1},
		{0, 100, 9, 1},
		{0, 100, 1, 1},
		{0, 100, 0, 1},
		{2, 100, 19, 1},
		{2, 1, 1, 1},
		{3, 100, 10, 3},
		{4, 100, 1, 2},
		{4, 100, 0, 2},
		{0, 2, 30, 2},
		{0, 3, 20, 2},
	} {
		messages, err := k.Read(k.Context(), head.ID, row.from, row.limit, row.maxBytes)
		k.ok(err)
		what := fmt.Sprintf("messages of Read(from %d, limit %d, maxBytes %d)", row.from, row.limit, row.maxBytes)
		equal(k, what, len(messages), row.want)
		for i := range messages {
			equal(k, "offset", messages[i].Offset, row.from+service.Offset(i))
		}
	}
}

func nothingOutside(k *kit) {
	head, empty := k.topic("a"), k.topic("empty")
	k.fill(head, 5)
	_, err := k.Trim(k.Context(), head.ID, 2)
	k.ok(err)
	for _, row := range []struct {
		topic service.TopicID
		from  service.Offset
		want  int
	}{
		{head.ID, 2, 3},
		{head.ID, 4, 1},
		{head.ID, 5, 0},
		{head.ID, 6, 0},
		{head.ID, service.MaxInteger, 0},
		{head.ID, 1, 0},
		{head.ID, 0, 0},
		{empty.ID, 0, 0},
		{empty.ID, 1, 0},
		{head.ID + service.Buckets<<30, 2, 0},
	} {
		messages, err := k.Read(k.Context(), row.topic, row.from, 10, 1000)
		k.ok(err)
		equal(k, fmt.Sprintf("messages from %d", row.from), len(messages), row.want)
	}
}

// answersAreImmutable checks that neither the caller, who may append to what it was given, nor a
// later write changes a message that was read.
func answersAreImmutable(k *kit) {
	head := k.topic("a")
	k.fill(head, 3)
	before, err := k.Read(k.Context(), head.ID, 0, 2, 1000)
	k.ok(err)
	_ = append(before, service.Message{Payload: text("scribble")})
	k.fill(k.head(head.Name), 3)
	k.holds(head.Name, "0", "1", "2", "3", "4", "5")
	_, err = k.Trim(k.Context(), head.ID, 6)
	k.ok(err)
	k.sweep(100)
	k.fill(k.head(head.Name), 3)
	equal(k, "first message read before", before[0].Bytes, []byte("0"))
	equal(k, "second message read before", before[1].Bytes, []byte("1"))
	k.holds(head.Name, "6", "7", "8")
}

func findTime(k *kit) {
	head := k.topic("a")
	find := func(at time.Time) service.Offset {
		k.Helper()
		offset, err := k.FindTime(k.Context(), head.ID, at)
		k.ok(err)
		return offset
	}
	equal(k, "offset in an empty topic", find(start()), 0)
	p := k.producer(head.Name, "")
	at := kept(start())
	for i := range 10 { // two messages at each full second
		k.answers(k.appendAt(at.Add(time.Duration(i)*time.Second), send(p, "x", "y")), fmt.Sprintf("-@%d*2", 2*i))
	}
	check := func(first service.Offset) {
		k.Helper()
		for i := range 10 {
			second := at.Add(time.Duration(i) * time.Second)
			equal(k, "offset at a time", find(second), max(first, service.Offset(2*i)))
			equal(k, "offset just before it", find(second.Add(-time.Microsecond)), max(first, service.Offset(2*i)))
			equal(k, "offset just after it", find(second.Add(time.Nanosecond)), max(first, service.Offset(2*i+2)))
		}
		equal(k, "offset before all", find(at.Add(-time.Hour)), first)
		equal(k, "offset after all", find(at.Add(time.Hour)), 20)
		equal(k, "offset at time zero", find(time.Time{}), first)
	}
	check(0)
	_, err := k.Trim(k.Context(), head.ID, 7)
	k.ok(err)
	check(7)
	k.sweep(100)
	check(7)
	_, err = k.Trim(k.Context(), head.ID, 20)
	k.ok(err)
	equal(k, "offset when all is trimmed", find(at), 20)
}

func findTimeMissing(k *kit) {
	head := k.topic("a")
	_, err := k.FindTime(k.Context(), head.ID+service.Buckets<<30, start())
	k.refused(err, "topic_not_found")
}
