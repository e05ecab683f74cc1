package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/topiq/topiq/gen/wire"

	"github.com/topiq/topiq/torture/history"
)

// runes are those that something on the way might not like.
const runes = "abc \x00\n\r\t\"\\/\u2028é世🙂\ufeff\u007f<&>'%\ufffd" //nolint:gosmopolitan // that is the point

// newMessage makes a message whose content tells where it belongs, and which nobody else sends: the
// tag is unique, and random text, bytes and headers follow it.
func newMessage(r *rand.Rand, tag string, big bool) (wire.ProduceMessage, history.Value) {
	size := r.IntN(200)
	switch {
	case r.IntN(100) == 0:
		size = 1000 + r.IntN(20000)
	case big && r.IntN(50) == 0:
		size = r.IntN(100000)
	}
	var m wire.ProduceMessage
	var headers map[string]string
	if r.IntN(4) == 0 {
		headers = map[string]string{"tag": tag, "Ünïcode": randomText(r, r.IntN(20)), "empty": ""}
		m.Headers = headers
	}
	content := []byte(tag + "|")
	isBinary := r.IntN(3) == 0
	if isBinary {
		for range size {
			content = append(content, byte(r.Uint32()))
		}
		m.MessageBase64 = &content
	} else {
		content = append(content, randomText(r, size)...)
		m.Message = new(string(content))
	}
	return m, history.Value{Content: history.DigestOf(isBinary, content, headers), Tag: tag}
}

func randomText(r *rand.Rand, n int) string {
	all := []rune(runes)
	var b strings.Builder
	for range n {
		b.WriteRune(all[r.IntN(len(all))])
	}
	return b.String()
}

// SeenMessage is what a reader was shown, as the history keeps it.
func SeenMessage(m *wire.LogMessage) (history.Message, error) {
	seen := history.Message{Offset: m.Offset, Seq: history.None, Created: m.CreatedAt.UnixMicro()}
	if m.ProdName != nil {
		seen.Name = *m.ProdName
	}
	if m.Seq != nil {
		seen.Seq = *m.Seq
	}
	switch {
	case m.Message != nil && m.MessageBase64 == nil:
		seen.Content = history.DigestOf(false, []byte(*m.Message), m.Headers)
	case m.MessageBase64 != nil && m.Message == nil:
		seen.Content = history.DigestOf(true, *m.MessageBase64, m.Headers)
	default:
		return seen, fmt.Errorf("the message at %d is neither text nor bytes", m.Offset)
	}
	return seen, nil
}

func seenMessages(w *Workload, list []wire.LogMessage) []history.Message {
	seen := make([]history.Message, 0, len(list))
	for i := range list {
		m, err := SeenMessage(&list[i])
		if err != nil {
			w.problem("I1: %v", err)
		}
		seen = append(seen, m)
	}
	return seen
}
