package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// sequence is what the log has under one name.
type sequence struct {
	name   string
	stored int64 // messages, with or without seq
	// first and last are the seqs of the first and the last message that has one, else NoSeq; at is
	// the offset of the last.
	first, last int64
	at          Offset
	// registered says that its producer was found.
	registered bool
}

func (s *sequence) String() string { return "producer " + s.name }

func (a *topicAudit) sequence(name string) *sequence {
	s := a.names[name]
	if s == nil {
		s = &sequence{name: name, first: NoSeq, last: NoSeq}
		a.names[name] = s
	}
	return s
}

// sequenced takes in the next message under a name that has a seq.
func (a *topicAudit) sequenced(s *sequence, m *Message) {
	what := fmt.Sprintf("seq of offset %d, %s", m.Offset, s)
	switch {
	case s.last == NoSeq:
		if s.first = m.Seq; a.head.First == 0 {
			a.equal(what, m.Seq, 0)
		}
	case m.Seq > s.last:
		a.equal(what, m.Seq, s.last+1)
	case m.Seq >= s.first:
		a.find(what, number(s.last+1), fmt.Sprintf("%d once more", m.Seq))
		return
	default:
		a.find(what, number(s.last+1), number(m.Seq))
		return
	}
	s.last, s.at = m.Seq, m.Offset
}

// checkProducers compares the rows of producers with what is stored under their names.
func (a *topicAudit) checkProducers(ctx context.Context) error {
	for last := ProducerID(0); ; {
		page, err := a.store.ListProducers(ctx, a.head.ID, last, auditPage)
		if err != nil {
			return fmt.Errorf("list the producers after %d: %w", last, err)
		}
		if len(page) == 0 {
			return nil
		}
		for i := range page {
			a.producers++
			if err := a.producer(ctx, &page[i]); err != nil {
				return err
			}
		}
		last = page[len(page)-1].ID
	}
}

func (a *topicAudit) producer(ctx context.Context, p *Producer) error {
	if p.Name == "" {
		return nil // nothing is stored under it
	}
	s := a.sequence(p.Name)
	if s.registered {
		a.find(s.String(), "one row", fmt.Sprintf("another one, of id %d", p.ID))
		return nil
	}
	s.registered = true
	if p.LastOffset >= a.latest.Next {
		if err := a.refresh(ctx); err != nil {
			return err
		}
	}
	if p.LastOffset >= a.latest.Next {
		a.find("last_offset of "+s.String(), fmt.Sprintf("below the end %d", a.latest.Next), number(p.LastOffset))
		return nil
	}
	a.checkPosition(s, p)
	return a.checkCount(ctx, s, p.Count)
}

// checkPosition compares what a producer expects next, and where it believes its last message to
// be, with the last one that is there.
func (a *topicAudit) checkPosition(s *sequence, p *Producer) {
	nextSeq, lastOffset := "next_seq of "+s.String(), "last_offset of "+s.String()
	switch {
	case a.cut:
	case p.LastOffset >= a.head.Next:
		// It has gone on since the head was read.
		if p.NextSeq <= s.last+1 {
			a.find(nextSeq, fmt.Sprintf("more than %d", s.last+1), number(p.NextSeq))
		}
	case s.last != NoSeq:
		a.equal(nextSeq, p.NextSeq, s.last+1)
		a.equal(lastOffset, int64(p.LastOffset), int64(s.at))
	case p.NextSeq == 0:
		a.equal(lastOffset, int64(p.LastOffset), -1)
	case a.head.First == 0:
		a.find(nextSeq, "0, for no seq is stored", number(p.NextSeq))
	case p.LastOffset < 0 || p.LastOffset >= a.head.First || p.NextSeq < 0:
		a.find(lastOffset, fmt.Sprintf("below the first offset %d, for no seq is stored", a.head.First),
			number(p.LastOffset))
	}
}

// checkCount compares how many messages were ever stored under a name with how many there are. They
// are the same as long as nothing was trimmed.
func (a *topicAudit) checkCount(ctx context.Context, s *sequence, count int64) error {
	what := "count of " + s.String()
	switch {
	case a.cut || count == s.stored:
	case count < s.stored:
		a.find(what, fmt.Sprintf("at least %d", s.stored), number(count))
	case a.head.First == 0:
		still, err := a.unmoved(ctx)
		if still {
			a.equal(what, count, s.stored)
		}
		return err
	}
	return nil
}

// checkNames looks at the names that messages are stored under without a registered producer, which
// is all right for messages without seq: then there is only a count.
func (a *topicAudit) checkNames(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(a.names)) {
		s := a.names[name]
		if s.registered {
			continue
		}
		if s.last != NoSeq {
			a.find(s.String(), "registered, for it has seqs", "not registered")
		}
		count, err := a.store.CountProduced(ctx, name, a.head.Name)
		if errors.Is(err, ErrTopicNotFound) {
			return errMoved
		}
		if err != nil {
			return fmt.Errorf("count the messages of %s: %w", s, err)
		}
		if err := a.checkCount(ctx, s, count); err != nil {
			return err
		}
	}
	return nil
}

// checkConsumers checks positions and names.
func (a *topicAudit) checkConsumers(ctx context.Context) error {
	names := map[string]ConsumerID{}
	for last := ConsumerID(0); ; {
		page, err := a.store.ListConsumers(ctx, a.head.ID, last, auditPage)
		if err != nil {
			return fmt.Errorf("list the consumers after %d: %w", last, err)
		}
		if len(page) == 0 {
			return nil
		}
		for i := range page {
			a.consumers++
			if err := a.consumer(ctx, &page[i], names); err != nil {
				return err
			}
		}
		last = page[len(page)-1].ID
	}
}

func (a *topicAudit) consumer(ctx context.Context, c *Consumer, names map[string]ConsumerID) error {
	if c.Offset > a.latest.Next {
		if err := a.refresh(ctx); err != nil {
			return err
		}
	}
	if c.Offset < 0 || c.Offset > a.latest.Next {
		what := fmt.Sprintf("offset of consumer %d", c.ID)
		if c.Name != "" {
			what += " " + c.Name
		}
		a.find(what, fmt.Sprintf("between 0 and the end %d", a.latest.Next), number(c.Offset))
	}
	if c.Name == "" {
		return nil
	}
	other, taken := names[c.Name]
	names[c.Name] = c.ID
	if !taken {
		return nil
	}
	// The other one may have been unregistered since it was read, and the name registered anew.
	both, err := a.store.Consumers(ctx, []ConsumerID{other, c.ID})
	if err != nil {
		return fmt.Errorf("read the consumers named %s: %w", c.Name, err)
	}
	if len(both) == 2 {
		a.find("consumer "+c.Name, "one row", fmt.Sprintf("ids %d and %d", other, c.ID))
	}
	return nil
}
