package api

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// TestAnswersAreThoseOfTheDocument compares the answers that are written by hand with what the library
// makes of the generated types.
func TestAnswersAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		produce, read := r.produceResult(), r.readResult()
		consume := service.ConsumeResult{Messages: read.Messages, Offset: r.offset(), Incarnation: "incarnation"}
		compareAnswer(t, seed, (*produced)(&produce), produceResult(&produce))
		compareAnswer(t, seed, (*messagesRead)(&read), readMessagesResult(&read))
		compareAnswer(t, seed, &consumed{consume, false}, consumeResult(&consume, false))
		if len(consume.Messages) > 0 {
			compareAnswer(t, seed, &consumed{consume, true}, consumeResult(&consume, true))
		}
	}
}

func compareAnswer(t *testing.T, seed uint64, answer encoder, of any) {
	t.Helper()
	got, err := answer.appendTo(nil)
	want, refErr := json.Marshal(of, json.Deterministic(true))
	if err != nil || refErr != nil || string(got) != string(want) {
		t.Fatalf("seed %d: %v, %v\n%s, want\n%s", seed, err, refErr, got, want)
	}
}

func TestAnswersRefuseWhatIsNoText(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]service.Message{
		"message": {Payload: service.Payload{Bytes: []byte("a\xff")}},
		"header":  {Payload: service.Payload{Headers: service.Headers{"a": "\xff"}}},
		"name":    {Payload: service.Payload{Headers: service.Headers{"\xff": "a"}}},
	} {
		list := []service.Message{m}
		for _, answer := range []encoder{
			&messagesRead{Messages: list},
			&consumed{service.ConsumeResult{Messages: list}, true},
			&consumed{service.ConsumeResult{Messages: list}, false},
		} {
			if got, err := answer.appendTo(nil); err == nil {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

type random struct{ *rand.Rand }

func (r random) offset() service.Offset { return service.Offset(r.Int64N(1 << r.IntN(54))) }

func (r random) text() string {
	some := []rune("aZ0 \"\\/\b\f\n\r\t\x00\x1f\x7f\u00e9\u2028\u2029\U0001f600<>&\ufffd")
	text := make([]rune, r.IntN(40))
	for i := range text {
		text[i] = some[r.IntN(len(some))]
	}
	return string(text)
}

func (r random) messages() []service.Message {
	list := make([]service.Message, r.IntN(5))
	for i := range list {
		m := &list[i]
		m.Offset, m.Seq = r.offset(), service.NoSeq
		m.CreatedAt = time.UnixMicro(r.Int64N(4e15)).In(time.FixedZone("", 3600))
		if i > 0 && r.IntN(2) == 0 {
			m.CreatedAt = list[i-1].CreatedAt.UTC()
		}
		if r.IntN(2) == 0 {
			m.ProdName, m.Seq = fmt.Sprintf("p-%d.x_", r.IntN(9)), int64(r.offset())
		}
		if m.Binary = r.IntN(3) == 0; !m.Binary || r.IntN(4) > 0 {
			m.Bytes = []byte(r.text())
		}
		for range r.IntN(3) * r.IntN(3) {
			if m.Headers == nil {
				m.Headers = service.Headers{}
			}
			m.Headers[r.text()] = r.text()
		}
	}
	return list
}

func (r random) readResult() service.ReadResult {
	return service.ReadResult{
		Messages: r.messages(), Next: r.offset(),
		Head: service.Head{First: r.offset(), Next: r.offset(), Incarnation: "incarnation"},
	}
}

func (r random) produceResult() service.ProduceResult {
	result := service.ProduceResult{Durability: service.DurabilityFsync}
	result.Incarnation, result.Count, result.Duplicate = "incarnation", r.IntN(10_000), r.IntN(2) == 0
	for range 1 + r.IntN(3) {
		run := service.Range{Seq: int64(r.offset()), Offset: r.offset(), Count: r.IntN(100)}
		if r.IntN(4) == 0 {
			run.Offset = -1
		}
		result.Ranges = append(result.Ranges, run)
	}
	return result
}

func produceResult(r *service.ProduceResult) *wire.ProduceResult {
	w := &wire.ProduceResult{
		Status: wire.SuccessStatusSuccess, Count: int64(r.Count), Duplicate: r.Duplicate,
		Durable: wire.Durability(r.Durability), Incarnation: r.Incarnation,
	}
	if _, ok := r.Offset(); ok {
		w.Offset = (*int64)(&r.Ranges[0].Offset)
	}
	if len(r.Ranges) > 1 {
		w.Ranges = make([]wire.ProduceRange, len(r.Ranges))
		for i := range r.Ranges {
			run := &r.Ranges[i]
			w.Ranges[i] = wire.ProduceRange{Seq: run.Seq, Count: int64(run.Count)}
			if run.Offset >= 0 {
				w.Ranges[i].Offset = (*int64)(&run.Offset)
			}
		}
	}
	return w
}

func consumeResult(r *service.ConsumeResult, plain bool) *wire.ConsumeResult {
	w := &wire.ConsumeResult{Status: wire.SuccessStatusSuccess, Offset: int64(r.Offset), Incarnation: r.Incarnation}
	if !plain {
		w.Messages = logMessages(r.Messages)
		return w
	}
	m := logMessage(&r.Messages[0])
	w.Message, w.MessageBase64, w.Headers = m.Message, m.MessageBase64, m.Headers
	w.ProdName, w.Seq, w.CreatedAt = m.ProdName, m.Seq, &m.CreatedAt
	return w
}

func readMessagesResult(r *service.ReadResult) *wire.ReadMessagesResult {
	return &wire.ReadMessagesResult{
		Status: wire.SuccessStatusSuccess, Messages: logMessages(r.Messages), NextOffset: int64(r.Next),
		FirstOffset: int64(r.Head.First), EndOffset: int64(r.Head.Next), Incarnation: r.Head.Incarnation,
	}
}

// logMessages never returns nil: an empty array is written, an absent one is not.
func logMessages(messages []service.Message) []wire.LogMessage {
	w := make([]wire.LogMessage, len(messages))
	for i := range messages {
		w[i] = logMessage(&messages[i])
	}
	return w
}

// logMessage points into m, which nobody modifies.
func logMessage(m *service.Message) wire.LogMessage {
	w := wire.LogMessage{Offset: int64(m.Offset), CreatedAt: m.CreatedAt.UTC(), Headers: wire.Headers(m.Headers)}
	if m.Binary {
		bytes := m.Bytes
		if bytes == nil {
			bytes = []byte{}
		}
		w.MessageBase64 = &bytes
	} else {
		text := string(m.Bytes)
		w.Message = &text
	}
	if m.ProdName != "" {
		w.ProdName = &m.ProdName
	}
	if m.Seq != service.NoSeq {
		w.Seq = &m.Seq
	}
	return w
}
