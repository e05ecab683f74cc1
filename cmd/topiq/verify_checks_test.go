package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/client"
)

// flawless is the history of a run in which all went well: the producers of a topic take turns.
func flawless() *history { return flawlessOf(sizes{messages: 60}) }

func flawlessOf(s sizes) *history {
	h := &history{
		plan: s.scenario(), seed: 7, wantKills: true,
		kills: []kill{{InFlight: 2, Unanswered: 1}}, ends: map[string]client.Topic{},
	}
	for _, t := range h.plan.topics {
		for i, name := range t.producers {
			n := share(t.messages, len(t.producers), i)
			h.sessions = append(h.sessions, &session{topic: t.label, producer: name, planned: n, sent: n})
		}
		final := &view{topic: t.label, reader: finalReader}
		sessions := h.sessionsOf(t.label)
		for offset := range t.messages {
			s := sessions[offset%len(sessions)]
			is := tag{t.label, s.producer, len(s.acks)}
			s.acks = append(s.acks, ack{is.line, int64(offset), offset == 5})
			final.seen = append(final.seen, sighting{
				int64(offset), is.text(h.seed), s.producer, int64(is.line), time.Unix(int64(offset), 0),
			})
		}
		h.final = append(h.final, final)
		readers := h.plan.consumersOf(t.label)
		for _, name := range readers {
			h.views = append(h.views, &view{topic: t.label, reader: name, seen: slices.Clone(final.seen)})
		}
		n := int64(t.messages)
		h.ends[t.label] = client.Topic{
			NextOffset: n, Messages: n, Producers: int64(len(t.producers)), Consumers: int64(len(readers)),
		}
	}
	return h
}

// of is the view of a consumer on T-1.
func (h *history) of(reader string) *view {
	for _, v := range h.allViews("T-1") {
		if v.reader == reader {
			return v
		}
	}
	panic(reader)
}

// everywhere changes what is stored in T-1, and so what everybody sees of it.
func (h *history) everywhere(change func(seen []sighting) []sighting) {
	for _, v := range h.allViews("T-1") {
		v.seen = change(v.seen)
	}
	end := h.ends["T-1"]
	end.NextOffset = int64(len(h.finalView("T-1").seen))
	end.Messages = end.NextOffset
	h.ends["T-1"] = end
}

// closeUp gives messages the offsets that a broker would have given them.
func closeUp(seen []sighting) []sighting {
	for i := range seen {
		seen[i].offset = int64(i)
	}
	return seen
}

func swap(seen []sighting, i, j int) []sighting {
	seen[i], seen[j] = seen[j], seen[i]
	return closeUp(seen)
}

func TestVerifyFlawlessHistory(t *testing.T) {
	t.Parallel()
	for _, v := range judge(flawless()) {
		if v.Result != resultPassed || v.Violations != 0 || v.Claim == "" {
			t.Errorf("%+v", v)
		}
	}
}

// breach breaks one promise in a history.
type breach struct {
	name   string
	broken func(h *history)
	want   string // the checks that fail, in their order
	says   string
}

func breaches() []breach {
	return []breach{
		{"lost", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { return closeUp(slices.Delete(seen, 8, 9)) })
		}, "none lost, acknowledged place, description", "acknowledged at offset 8, is missing in C1"},
		{"lost for one consumer", func(h *history) {
			v := h.of("C2")
			v.seen = closeUp(slices.Delete(v.seen, 8, 9))
		}, "none lost, same order, unchanged", "is missing in C2"},
		{"last one lost for one consumer", func(h *history) {
			v := h.of("C3")
			v.seen = v.seen[:len(v.seen)-1]
		}, "none lost, same order", "but C3 got 21"},
		{"doubled", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { return closeUp(append(seen, seen[len(seen)-1])) })
		}, "none twice, description", "at offset 21 and again at 22"},
		{"got twice", func(h *history) {
			v := h.of("C1")
			v.seen = slices.Insert(v.seen, 4, v.seen[3])
		}, "none twice, same order, dense offsets", "C1 got T-1 of P1, line 1 at offset 3 and again at 3"},
		{"swapped", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { return swap(seen, 0, 3) })
		}, "producer order, acknowledged place", "C1 got T-1 of P1, line 0 after line 1"},
		{"swapped, and acknowledged so", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { return swap(seen, 0, 3) })
			acks := h.sessionsOf("T-1")[0].acks
			acks[0].offset, acks[1].offset = 3, 0
		}, "producer order", "line 0 was acknowledged at offset 3, but its line 1 at 0"},
		{"two consumers that differ", func(h *history) {
			v := h.of("C2")
			v.seen = swap(v.seen, 6, 7)
		}, "same order, unchanged", "message 6 of T-1 is T-1 of P1, line 2 for C1, but T-1 of P2, line 2 for C2"},
		{"hole", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting {
				for i := 9; i < len(seen); i++ {
					seen[i].offset++
				}
				return seen
			})
		}, "dense offsets, acknowledged place", "got offset 10 of T-1 where 9 comes next"},
		{"phantom", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { return append(seen, sighting{22, "boo", "P1", 8, time.Time{}}) })
		}, "none made up, description", `got "boo" at offset 22 of T-1`},
		{"message of another topic", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting {
				return append(seen, sighting{22, tag{"T-3", "P1", 1}.text(7), "P1", 8, time.Time{}})
			})
		}, "none made up, description", "which nobody sent there"},
		{"message before it was sent", func(h *history) {
			s := h.sessionsOf("T-1")[2]
			s.sent, s.acks = s.sent-1, s.acks[:len(s.acks)-1]
		}, "acknowledged, none made up, description", "T-1 of P3, line 6 was not acknowledged"},
		{"one byte", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { seen[2].text += "!"; return seen })
		}, "none lost, none made up, acknowledged place", "which nobody sent there"},
		{"other seq", func(h *history) {
			h.everywhere(func(seen []sighting) []sighting { seen[2].seq++; return seen })
		}, "none made up", `as message 1 of "P3"`},
		{"moved", func(h *history) { h.sessionsOf("T-1")[1].acks[3].offset = 11 }, "acknowledged place", "at offset 11, where there is T-1 of P3"},
		{"beyond the end", func(h *history) {
			acks := h.sessionsOf("T-1")[1].acks
			acks[len(acks)-1].offset = 99
		}, "acknowledged place", "at offset 99, where nothing is"},
		{"no offset", func(h *history) { h.sessionsOf("T-1")[0].acks[0].offset = client.NoOffset }, "acknowledged place", "without an offset"},
		{"other time", func(h *history) { h.of("C3").seen[1].created = time.Unix(99, 0) }, "unchanged", "C3 got T-1 of P2, line 0"},
		{"described wrongly", func(h *history) { h.ends["T-2"] = client.Topic{} }, "description", "T-2 has 0 messages"},
		{"other number of messages", func(h *history) {
			end := h.ends["T-2"]
			end.Messages++
			h.ends["T-2"] = end
		}, "description", "T-2 has 29 messages from 0 to before 28"},
		{"consumer too many", func(h *history) {
			end := h.ends["T-3"]
			end.Consumers++
			h.ends["T-3"] = end
		}, "description", "T-3 has 2 producers and 4 consumers, but 2 and 3 were registered"},
		{"not killed", func(h *history) { h.kills = nil }, "kills", "never killed"},
		{"killed idle", func(h *history) { h.kills[0].Unanswered = 0 }, "kills", "no request was under way"},
		{"producer stopped", func(h *history) { h.sessions[0].problem = "fenced" }, "run", "P1 on T-1 ended after 8 of 8 messages: fenced"},
		{"consumer stopped", func(h *history) { h.views[0].problem = "refused" }, "run", "C1 on T-1 ended after 22 messages: refused"},
		{"left behind", func(h *history) { h.problems = []string{"topics"} }, "run", "topics"},
	}
}

func TestVerifyCatches(t *testing.T) {
	t.Parallel()
	for _, row := range breaches() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := flawless()
			row.broken(h)
			r := report{Checks: judge(h)}
			if got := strings.Join(r.failed(), ", "); got != row.want {
				t.Errorf("failed: %s; want %s\n%+v", got, row.want, r.Checks)
			}
			if all := fmt.Sprint(r.Checks); !strings.Contains(all, row.says) {
				t.Errorf("nothing says %q: %s", row.says, all)
			}
		})
	}
}

// TestVerifyCatchesByEveryCheck makes sure that there is no check that was never seen to fail.
func TestVerifyCatchesByEveryCheck(t *testing.T) {
	t.Parallel()
	caught := map[string]bool{}
	for _, row := range breaches() {
		for name := range strings.SplitSeq(row.want, ", ") {
			caught[name] = true
		}
	}
	for _, c := range checks(true) {
		if !caught[c.name] {
			t.Errorf("nothing makes %q fail", c.name)
		}
	}
}

// TestVerifyGivenUp checks that a run which was given up passes nothing, but that what is wrong in it
// all the same is told.
func TestVerifyGivenUp(t *testing.T) {
	t.Parallel()
	h := flawless()
	h.failure, h.final, h.ends = "the run did not end within 1s", nil, nil
	v := h.of("C2")
	v.seen = v.seen[:5]
	for _, v := range judge(h) {
		want := resultNotMade
		if v.Name == "run" {
			want = resultFailed
		}
		if v.Result != want {
			t.Errorf("%+v, want %s", v, want)
		}
	}
	v.seen = swap(v.seen, 0, 3)
	r := report{Checks: judge(h)}
	for _, v := range r.Checks {
		if failed := slices.Contains([]string{"run", "same order", "producer order"}, v.Name); failed != (v.Result == resultFailed) {
			t.Errorf("%+v", v)
		}
	}
	if err := r.failure(); err == nil || !strings.HasPrefix(err.Error(), "12 of 12 checks did not pass: run, ") {
		t.Errorf("got %v", err)
	}
}
