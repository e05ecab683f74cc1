package dbtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/topiq/topiq/service"
)

// describe writes an answer to a produce as text: "seq@offset*count" for each range, "-" for no
// seq and for the offset of trimmed messages, "dup" when nothing was appended; or the refusal.
func describe(r *service.AppendResult) string {
	if r.Err != nil {
		if len(r.Ranges) > 0 || r.Count > 0 || r.Duplicate {
			return refusal(r.Err) + " with an answer beside it"
		}
		return refusal(r.Err)
	}
	var parts []string
	count := 0
	for _, run := range r.Ranges {
		parts = append(parts, fmt.Sprintf("%s@%s*%d", number(run.Seq), number(int64(run.Offset)), run.Count))
		count += run.Count
	}
	if r.Duplicate {
		parts = append(parts, "dup")
	}
	if count != r.Count {
		parts = append(parts, fmt.Sprintf("but Count %d", r.Count))
	}
	return strings.Join(parts, " ")
}

func number(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// refusal writes an error as text: its code, and the facts that are set; "ok" for none.
func refusal(err error) string {
	if err == nil {
		return "ok"
	}
	var e *service.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("not a service.Error: %v", err)
	}
	var text strings.Builder
	text.WriteString(string(e.Code))
	for _, fact := range []struct{ name, value string }{
		{"field", e.Facts.Field}, {"incarnation", e.Facts.Incarnation}, {"quota", string(e.Facts.Quota)},
	} {
		if fact.value != "" {
			text.WriteString(" " + fact.name + "=" + fact.value)
		}
	}
	for _, fact := range []struct {
		name  string
		value *int64
	}{
		{"epoch", e.Facts.Epoch},
		{"expected_seq", e.Facts.ExpectedSeq},
		{"seq", e.Facts.Seq},
		{"offset", e.Facts.Offset},
		{"first_offset", e.Facts.FirstOffset},
		{"next_offset", e.Facts.NextOffset},
		{"max_bytes", e.Facts.MaxBytes},
	} {
		if fact.value != nil {
			_, _ = fmt.Fprintf(&text, " %s=%d", fact.name, *fact.value)
		}
	}
	return text.String()
}

// send asks to store texts without seq.
func send(p service.Producer, texts ...string) service.AppendRequest {
	r := service.AppendRequest{Topic: p.Topic, Producer: p.ID, Seq: service.NoSeq}
	for _, text := range texts {
		r.Payloads = append(r.Payloads, service.Payload{Bytes: []byte(text)})
	}
	return r
}

// sendSeq asks to store texts under seq, seq+1, …, without an epoch.
func sendSeq(p service.Producer, seq int64, texts ...string) service.AppendRequest {
	r := send(p, texts...)
	r.Seq = seq
	return r
}

// inSession adds the epoch that the producer was registered with.
func inSession(p service.Producer, r service.AppendRequest) service.AppendRequest {
	r.Epoch = &p.Epoch
	return r
}

// as adds a name, for producers that were registered without one.
func as(name string, r service.AppendRequest) service.AppendRequest {
	r.ProdName = name
	return r
}

// expecting adds the offset that the first new message must get.
func expecting(offset service.Offset, r service.AppendRequest) service.AppendRequest {
	r.ExpectedOffset = &offset
	return r
}

// within adds the incarnation that the caller knows.
func within(incarnation string, r service.AppendRequest) service.AppendRequest {
	r.Incarnation = incarnation
	return r
}
