package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// timeline is the times of a log as far as it was read.
type timeline struct {
	newest time.Time
	last   Offset // the last one read
}

// checkLog reads all messages below the head, in pages.
func (a *topicAudit) checkLog(ctx context.Context) error {
	a.times.last = -1
	for at := a.head.First; at < a.head.Next; {
		page, err := a.read(ctx, at, min(auditPage, int(a.head.Next-at)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			if at, err = a.skip(ctx, at); err != nil {
				return err
			}
			continue
		}
		for i := range page {
			a.message(&page[i])
		}
		at += Offset(len(page))
	}
	if !a.cut {
		a.equal("bytes", a.head.Bytes, a.bytes)
	}
	a.checkLastAppend()
	return nil
}

// read returns the run of messages at an offset, none when that one is missing. Some engines answer
// what they find up to a hole, others refuse to answer across one. A message that was changed is
// found fault with, and judged as it is.
func (a *topicAudit) read(ctx context.Context, at Offset, limit int) ([]Message, error) {
	page, err := a.store.Read(ctx, a.head.ID, at, limit, auditPageBytes)
	if hole := (*holeError)(nil); errors.As(err, &hole) {
		if hole.at <= at {
			return nil, nil
		}
		page, err = a.store.Read(ctx, a.head.ID, at, int(hole.at-at), auditPageBytes)
	}
	if damage := (*damageError)(nil); errors.As(err, &damage) {
		if damaged := damage.message.Offset; damaged > at {
			return a.read(ctx, at, int(damaged-at))
		}
		a.find(fmt.Sprintf("checksum of offset %d", at), fmt.Sprintf("%08x", damage.stored), fmt.Sprintf("%08x", damage.sum))
		return []Message{damage.message}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %d messages at offset %d: %w", limit, at, err)
	}
	for i := range page {
		if page[i].Offset == at+Offset(i) {
			continue
		}
		if page[i].Offset < at+Offset(i) {
			a.find(fmt.Sprintf("offset %d", page[i].Offset), "one message", "a second one")
		}
		return page[:i], nil
	}
	return page, nil
}

// skip tells of a hole and returns where it ends. A Store cannot be asked where the next message
// is, so each offset is tried.
func (a *topicAudit) skip(ctx context.Context, from Offset) (Offset, error) {
	if err := a.refresh(ctx); err != nil {
		return 0, err
	}
	if from < a.latest.First {
		return 0, errMoved // trimmed since the head was read
	}
	to := from + 1
	for ; to < a.head.Next; to++ {
		if a.probes == auditProbes {
			a.cut = true
			a.find(fmt.Sprintf("offsets %d … %d", from, a.head.Next-1), "a message at each",
				fmt.Sprintf("none up to %d; the rest was not looked at", to-1))
			return a.head.Next, nil
		}
		a.probes++
		page, err := a.read(ctx, to, 1)
		if err != nil {
			return 0, err
		}
		if len(page) > 0 {
			break
		}
	}
	if to-from == 1 {
		a.find(fmt.Sprintf("offset %d", from), "a message", "none")
	} else {
		a.find(fmt.Sprintf("offsets %d … %d", from, to-1), "a message at each", "none")
	}
	return to, nil
}

// message takes in the next message of the log.
func (a *topicAudit) message(m *Message) {
	a.messages++
	a.bytes += m.Size()
	if m.CreatedAt.Before(a.times.newest) {
		a.find(fmt.Sprintf("created_at of offset %d", m.Offset), "not before "+moment(a.times.newest), moment(m.CreatedAt))
	}
	a.times.newest, a.times.last = latest(a.times.newest, m.CreatedAt), m.Offset
	if m.ProdName == "" {
		if m.Seq != NoSeq {
			a.find(fmt.Sprintf("producer of offset %d", m.Offset), "a name, for it has a seq", "none")
		}
		return
	}
	s := a.sequence(m.ProdName)
	s.stored++
	if m.Seq != NoSeq {
		a.sequenced(s, m)
	}
}

// checkLastAppend compares the head's time with that of the newest message, if that was seen.
func (a *topicAudit) checkLastAppend() {
	const what = "last_append"
	found := a.head.LastAppend
	switch {
	case a.head.Next == 0 && !found.IsZero():
		a.find(what, "none", moment(found))
	case a.messages == 0:
	case a.times.last == a.head.Next-1 && !found.Equal(a.times.newest):
		a.find(what, moment(a.times.newest), moment(found))
	case found.Before(a.times.newest):
		a.find(what, "not before "+moment(a.times.newest), moment(found))
	}
}

// checkBeyond looks for a message where the next one goes: a head that was moved back would let it
// be stored a second time.
func (a *topicAudit) checkBeyond(ctx context.Context) error {
	page, err := a.read(ctx, a.head.Next, 1)
	if err != nil || len(page) == 0 {
		return err
	}
	still, err := a.unmoved(ctx)
	if still {
		a.find(fmt.Sprintf("offset %d", a.head.Next), "the end of the topic", "a message")
	}
	return err
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
