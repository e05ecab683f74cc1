package main

// These checks compare what consumers got, with each other and with what was acknowledged.

func findLost(h *history, f *findings) {
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			got := make(map[string]bool, len(v.seen))
			for i := range v.seen {
				got[v.seen[i].text] = true
			}
			for _, s := range h.sessionsOf(t.label) {
				for _, a := range s.acks {
					if lost := (tag{s.topic, s.producer, a.line}); !got[lost.text(h.seed)] {
						f.add("%s, acknowledged at offset %d, is missing in %s", lost, a.offset, v.reader)
					}
				}
			}
		}
		if h.finalView(t.label) == nil {
			f.add("%s was not read once more in the end", t.label)
		}
	}
}

func findDoubled(h *history, f *findings) {
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			first := make(map[string]int64, len(v.seen))
			for i := range v.seen {
				s := &v.seen[i]
				if offset, twice := first[s.text]; twice {
					f.add("%s got %s at offset %d and again at %d", v.reader, describe(t.label, s.text), offset, s.offset)
					continue
				}
				first[s.text] = s.offset
			}
		}
	}
}

func findMadeUp(h *history, f *findings) {
	sent := h.sent()
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			for i := range v.seen {
				s := &v.seen[i]
				is, ok := tagOf(s.text)
				ok = ok && is.topic == t.label && 0 <= is.line && is.line < sent[tag{is.topic, is.producer, 0}]
				if !ok || is.text(h.seed) != s.text {
					f.add("%s got %.80q at offset %d of %s, which nobody sent there", v.reader, s.text, s.offset, t.label)
					continue
				}
				if s.producer != is.producer || s.seq != int64(is.line) {
					f.add("%s got %s at offset %d as message %d of %q", v.reader, is, s.offset, s.seq, s.producer)
				}
			}
		}
	}
}

// findOrder compares each consumer of a topic with the first one. In a history that was given up
// one may have come further than the other.
func findOrder(h *history, f *findings) {
	for _, t := range h.plan.topics {
		views := h.allViews(t.label)
		for i := 1; i < len(views); i++ {
			a, b := views[0], views[i]
			n := min(len(a.seen), len(b.seen))
			same := 0
			for same < n && a.seen[same].text == b.seen[same].text {
				same++
			}
			switch {
			case same < n:
				f.add("message %d of %s is %s for %s, but %s for %s", same, t.label,
					describe(t.label, a.seen[same].text), a.reader, describe(t.label, b.seen[same].text), b.reader)
			case len(a.seen) != len(b.seen) && h.failure == "":
				f.add("%s got %d messages of %s, but %s got %d", a.reader, len(a.seen), t.label, b.reader, len(b.seen))
			}
		}
	}
}

func findProducerOrder(h *history, f *findings) {
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			last := map[string]int{}
			for i := range v.seen {
				is, ok := tagOf(v.seen[i].text)
				if !ok || is.topic != t.label {
					continue // made up
				}
				if before, some := last[is.producer]; some && is.line < before {
					f.add("%s got %s after line %d", v.reader, is, before)
				}
				last[is.producer] = is.line
			}
		}
	}
	for _, s := range h.sessions {
		for i := 1; i < len(s.acks); i++ {
			if a, b := s.acks[i-1], s.acks[i]; (a.line < b.line) != (a.offset < b.offset) {
				f.add("%s was acknowledged at offset %d, but its line %d at %d",
					tag{s.topic, s.producer, a.line}, a.offset, b.line, b.offset)
			}
		}
	}
}

func findHoles(h *history, f *findings) {
	for _, t := range h.plan.topics {
		for _, v := range h.allViews(t.label) {
			next := int64(0)
			for i := range v.seen {
				if s := &v.seen[i]; s.offset != next {
					f.add("%s got offset %d of %s where %d comes next", v.reader, s.offset, t.label, next)
				}
				next = v.seen[i].offset + 1
			}
		}
	}
}

// findMoved compares what is at each offset in the end with what was acknowledged there.
func findMoved(h *history, f *findings) {
	for _, t := range h.plan.topics {
		at := h.finally(t.label)
		for _, s := range h.sessionsOf(t.label) {
			for _, a := range s.acks {
				acknowledged := tag{s.topic, s.producer, a.line}
				is, there := at[a.offset]
				switch {
				case a.noOffset():
					f.add("%s was acknowledged without an offset", acknowledged)
				case !there:
					f.add("%s was acknowledged at offset %d, where nothing is", acknowledged, a.offset)
				case is.text != acknowledged.text(h.seed):
					f.add("%s was acknowledged at offset %d, where there is %s", acknowledged, a.offset, describe(t.label, is.text))
				}
			}
		}
	}
}

// findChanged compares every message that a consumer got with the one at its offset in the end.
func findChanged(h *history, f *findings) {
	for _, t := range h.plan.topics {
		at := h.finally(t.label)
		for _, v := range h.views {
			if v.topic != t.label {
				continue
			}
			for i := range v.seen {
				was := v.seen[i]
				is, there := at[was.offset]
				switch {
				case !there:
					f.add("%s got offset %d of %s, where in the end nothing is", v.reader, was.offset, t.label)
				case is.text != was.text || is.producer != was.producer || is.seq != was.seq || !is.created.Equal(was.created):
					f.add("%s got %s at offset %d of %s, where in the end there is %s (seq %d and %d, stored %s and %s)",
						v.reader, describe(t.label, was.text), was.offset, t.label, describe(t.label, is.text),
						was.seq, is.seq, was.created, is.created)
				}
			}
		}
	}
}

// finally is what the final read found at each offset.
func (h *history) finally(topic string) map[int64]*sighting {
	at := map[int64]*sighting{}
	if v := h.finalView(topic); v != nil {
		for i := range v.seen {
			at[v.seen[i].offset] = &v.seen[i]
		}
	}
	return at
}

// describe names the message of a text.
func describe(topic, text string) string {
	is, ok := tagOf(text)
	if !ok || is.topic != topic {
		return "a message that nobody sent there"
	}
	return is.String()
}
