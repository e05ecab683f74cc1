package service_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// without takes offsets out of a log.
func without(offsets ...service.Offset) func([]service.Message) []service.Message {
	return func(log []service.Message) []service.Message {
		return slices.DeleteFunc(log, func(m service.Message) bool { return slices.Contains(offsets, m.Offset) })
	}
}

// change changes one message of a log.
func change(offset int, f func(*service.Message)) func([]service.Message) []service.Message {
	return func(log []service.Message) []service.Message {
		if len(log) > offset {
			f(&log[offset])
		}
		return log
	}
}

func producerNamed(name string, f func(*service.Producer)) func([]service.Producer) []service.Producer {
	return func(rows []service.Producer) []service.Producer {
		for i := range rows {
			if rows[i].Name == name {
				f(&rows[i])
			}
		}
		return rows
	}
}

func consumerNamed(name string, f func(*service.Consumer)) func([]service.Consumer) []service.Consumer {
	return func(rows []service.Consumer) []service.Consumer {
		for i := range rows {
			if rows[i].Name == name {
				f(&rows[i])
			}
		}
		return rows
	}
}

func TestAuditFindsEveryKindOfDamage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lie  liar
		want []string // how each finding begins
	}{
		"a missing message": {liar{log: without(6)}, []string{
			"offset 6: none, not a message", "bytes: 20, not 18", "count of producer n: 2, not 1",
		}},
		"missing messages": {liar{log: without(5, 6)}, []string{"offsets 5 … 6: none", "bytes: 20, not 16"}},
		"a missing message with a seq": {liar{log: without(2)}, []string{
			"offset 2: none", "seq of offset 3, producer p: 3, not 2", "bytes", "count of producer p: 5, not 4",
		}},
		"missing messages at the start": {liar{log: without(0, 1)}, []string{
			"offsets 0 … 1: none", "seq of offset 2, producer p: 2, not 0", "bytes", "count of producer p",
		}},
		"a missing message at the end": {liar{log: without(9)}, []string{"offset 9: none", "bytes"}},
		"a missing last seq": {liar{log: without(8)}, []string{
			"offset 8: none", "bytes", "next_seq of producer q: 2, not 1", "last_offset of producer q: 8, not 7", "count of producer q",
		}},
		"no seq of a producer": {liar{log: without(7, 8)}, []string{
			"offsets 7 … 8", "bytes", "next_seq of producer q: 2, not 0, for no seq is stored", "count of producer q: 2, not 0",
		}},
		"an offset twice": {liar{log: func(log []service.Message) []service.Message {
			return slices.Insert(log, 10, log[9])
		}, head: func(h *service.Head) { h.Next++ }}, []string{
			"offset 9: a second one, not one message", "offset 10: none",
		}},
		"a head that was moved back": {liar{head: func(h *service.Head) { h.Next = 9; h.Bytes = 18 }}, []string{
			"last_append: 1970-01-01T00:33:24Z, not 1970-01-01T00:33:23Z", "offset 9: a message, not the end of the topic",
			"offset of consumer end: 10, not between 0 and the end 9",
		}},
		"a head that was moved back over seqs": {liar{head: func(h *service.Head) { h.Next = 8; h.Bytes = 16 }}, []string{
			"last_append", "offset 8: a message", "last_offset of producer q: 8, not below the end 8", "offset of consumer end",
		}},
		"a head that was moved on": {liar{head: func(h *service.Head) { h.Next += 2 }}, []string{"offsets 10 … 11: none"}},
		"a head that was moved on far": {liar{head: func(h *service.Head) { h.Next += 1e12 }}, []string{
			"offsets 10 … 1000000000009: none up to 10010; the rest was not looked at, not a message at each",
		}},
		"a first offset that was moved on": {liar{head: func(h *service.Head) { h.First = 6 }}, []string{"bytes: 20, not 8"}},
		"a first offset beyond the end":    {liar{head: func(h *service.Head) { h.First = 11 }}, []string{"first_offset: 11, not between 0 and next_offset 10"}},
		"another size":                     {liar{head: func(h *service.Head) { h.Bytes-- }}, []string{"bytes: 19, not 20"}},
		"an earlier last append": {liar{head: func(h *service.Head) { h.LastAppend = h.LastAppend.Add(-1) }}, []string{
			"last_append: 1970-01-01T00:33:23.999999999Z, not 1970-01-01T00:33:24Z",
		}},
		"an id of another bucket": {liar{head: func(h *service.Head) { h.ID ^= 1 }}, []string{
			"bucket of the topic's id", "offsets 0 … 9: none", "bytes",
		}},
		"no head": {liar{head: func(h *service.Head) { h.ID = 0 }}, []string{"head: none, not one"}},
		"time that goes back": {liar{log: change(3, func(m *service.Message) { m.CreatedAt = time.Unix(1999, 0) })}, []string{
			"created_at of offset 3: 1970-01-01T00:33:19Z, not not before 1970-01-01T00:33:20Z",
		}},
		"a seq that was skipped": {liar{log: change(4, func(m *service.Message) { m.Seq = 5 })}, []string{
			"seq of offset 4, producer p: 5, not 4", "next_seq of producer p: 5, not 6",
		}},
		"a seq twice": {liar{log: change(4, func(m *service.Message) { m.Seq = 2 })}, []string{
			"seq of offset 4, producer p: 2 once more, not 4", "next_seq of producer p: 5, not 4", "last_offset of producer p: 4, not 3",
		}},
		"a seq without a name": {liar{log: change(9, func(m *service.Message) { m.Seq = 0 })}, []string{"producer of offset 9: none"}},
		"a seq of a name that is not registered": {liar{log: change(5, func(m *service.Message) { m.Seq = 0 })}, []string{
			"producer n: not registered, not registered, for it has seqs",
		}},
		"a producer that is gone": {liar{producers: func(rows []service.Producer) []service.Producer {
			return slices.DeleteFunc(rows, func(p service.Producer) bool { return p.Name == "p" })
		}}, []string{"producer p: not registered"}},
		"a producer twice": {liar{producers: func(rows []service.Producer) []service.Producer {
			if i := slices.IndexFunc(rows, func(p service.Producer) bool { return p.Name == "p" }); i >= 0 {
				rows = slices.Insert(rows, i, rows[i])
			}
			return rows
		}}, []string{"producer p: another one, of id"}},
		"another next_seq": {liar{producers: producerNamed("p", func(p *service.Producer) { p.NextSeq-- })}, []string{
			"next_seq of producer p: 4, not 5",
		}},
		"another last_offset": {liar{producers: producerNamed("q", func(p *service.Producer) { p.LastOffset-- })}, []string{
			"last_offset of producer q: 7, not 8",
		}},
		"a last_offset beyond the end": {liar{producers: producerNamed("q", func(p *service.Producer) { p.LastOffset = 10 })}, []string{
			"last_offset of producer q: 10, not below the end 10",
		}},
		"a smaller count": {liar{producers: producerNamed("q", func(p *service.Producer) { p.Count-- })}, []string{
			"count of producer q: 1, not at least 2",
		}},
		"a larger count":            {liar{producers: producerNamed("q", func(p *service.Producer) { p.Count++ })}, []string{"count of producer q: 3, not 2"}},
		"a smaller count of a name": {liar{count: func(int64) int64 { return 1 }}, []string{"count of producer n: 1, not at least 2"}},
		"a position beyond the end": {liar{consumers: consumerNamed("end", func(c *service.Consumer) { c.Offset++ })}, []string{
			"offset of consumer end: 11, not between 0 and the end 10",
		}},
		"a position before the start": {liar{consumers: consumerNamed("c", func(c *service.Consumer) { c.Offset = -1 })}, []string{
			"offset of consumer c: -1, not between",
		}},
		"two consumers of one name": {liar{consumers: consumerNamed("c", func(c *service.Consumer) { c.Name = "end" })}, []string{
			"consumer end: ids",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.lie.Store = audited(t).Store
			sum, findings, err := audit(t, &test.lie)
			wantErr(t, "audit", err, nil)
			for i := range max(len(findings), len(test.want)) {
				if i >= len(findings) || i >= len(test.want) ||
					!strings.HasPrefix(anonymous(findings[i]), "orders: "+test.want[i]) {
					t.Errorf("got %q,\nwant %q", findings, test.want)
					break
				}
			}
			want(t, "findings counted", sum.Findings, int64(len(test.want)))
		})
	}
}

// anonymous takes the id, which is random, out of a finding about a consumer.
func anonymous(finding string) string {
	words := strings.Fields(finding)
	if i := slices.Index(words, "consumer"); i > 1 && len(words) > i+2 {
		words = slices.Delete(words, i+1, i+2)
	}
	return strings.Join(words, " ")
}
