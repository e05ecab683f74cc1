package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of an audit: what one call reads, how many findings of one topic are reported, how many
// calls look for the end of its holes, and how often a topic that changes is begun again.
const (
	auditPage      = 1000
	auditPageBytes = 4 << 20
	auditFindings  = 100
	auditProbes    = 10_000
	auditAttempts  = 5
)

// Finding is a contradiction in what is stored.
type Finding struct {
	Topic TopicName
	// What was looked at, such as "offset 7", "bytes", "next_seq of producer p".
	What string
	// Expected is what follows from everything else that is stored, Found what is there.
	Expected, Found string
}

// Summary says how much an audit has looked at.
type Summary struct {
	Topics, Messages, Producers, Consumers int64
	// Findings counts all of them. Of one topic only the first 100 are reported.
	Findings int64
}

// Audit checks that all that is stored agrees. report is called for each finding, topic by topic in
// the order of their names. Of each topic:
//
//   - each offset from the first to the end holds one message, and none lies beyond the end
//   - times never decrease, and the head has that of the newest message
//   - the head has the size of all messages together
//   - the seqs under a name begin at 0, or where messages were trimmed, and go up by one with the
//     offset, each once
//   - the producer of that name is registered, expects the seq after the last, knows where that
//     one is, and has counted all messages under its name
//   - no consumer is before the start or beyond the end, and no two have one name
//
// It uses nothing but the Store, page by page: in memory it has one entry for each name of a topic.
// A check that cannot be made is an error, never a pass; what was found until then is reported.
//
// An audit is worth most on a store that nobody writes to. Where others do (Properties.Shared), it
// is still free of false findings: the head is read first, and only messages below it are judged.
// Rows that may have moved on since are held against a head that is read after them, for whatever
// they point to lies below that. A topic that is deleted meanwhile is passed over, one that is
// trimmed under the reader is begun again. But what it passes is then the past: damage that was done
// behind its back is not seen.
func Audit(ctx context.Context, store Store, report func(Finding)) (Summary, error) {
	var sum Summary
	for last := TopicName(""); ; {
		names, err := store.ListTopics(ctx, "", last, auditPage)
		if err != nil {
			return sum, fmt.Errorf("list the topics after %q: %w", last, err)
		}
		if len(names) == 0 {
			return sum, nil
		}
		for _, name := range names {
			a, err := auditTopic(ctx, store, name)
			if a != nil {
				sum.add(a)
				for _, f := range a.findings {
					report(f)
				}
			}
			if err != nil {
				return sum, fmt.Errorf("topic %s: %w", name, err)
			}
		}
		last = names[len(names)-1]
	}
}

func (s *Summary) add(a *topicAudit) {
	s.Topics++
	s.Messages += a.messages
	s.Producers += a.producers
	s.Consumers += a.consumers
	s.Findings += a.found
}

// errMoved ends the audit of a topic that is not what it was when its head was read.
var errMoved = errors.New("the topic is trimmed or replaced again and again; audit it while no broker runs")

// auditTopic audits one topic, from the beginning again where it has moved. It answers nil if there
// is no such topic any more.
func auditTopic(ctx context.Context, store Store, name TopicName) (a *topicAudit, err error) {
	for range auditAttempts {
		var heads []Head
		if heads, err = store.Heads(ctx, []TopicName{name}); err != nil {
			return nil, fmt.Errorf("read the head: %w", err)
		}
		if len(heads) == 0 {
			listed, err := store.ListTopics(ctx, string(name), "", 1)
			if err != nil || len(listed) == 0 || listed[0] != name {
				return nil, err
			}
			// It may have been created again in between. If not it never gets a head.
			a = &topicAudit{head: Head{Name: name}}
			a.find("head", "one", "none")
			continue
		}
		a = newTopicAudit(store, heads[0])
		if err = a.run(ctx); !errors.Is(err, errMoved) {
			return a, err
		}
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// topicAudit is the audit of one life of a topic.
type topicAudit struct {
	store Store
	// head is what is judged: as it was read first. latest is the newest that was read.
	head, latest Head
	// names has what is stored under each name.
	names map[string]*sequence
	times timeline
	bytes int64
	// probes counts the calls that looked for the end of holes. When they are used up, the rest of
	// the log was not looked at.
	probes int
	cut    bool

	messages, producers, consumers int64
	found                          int64
	findings                       []Finding
}

func newTopicAudit(store Store, head Head) *topicAudit {
	return &topicAudit{store: store, head: head, latest: head, names: map[string]*sequence{}}
}

func (a *topicAudit) find(what, expected, found string) {
	if a.found++; a.found <= auditFindings {
		a.findings = append(a.findings, Finding{Topic: a.head.Name, What: what, Expected: expected, Found: found})
	}
}

// equal finds fault with a number that is not what is expected.
func (a *topicAudit) equal(what string, found, expected int64) {
	if found != expected {
		a.find(what, number(expected), number(found))
	}
}

func number[T ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func (a *topicAudit) run(ctx context.Context) error {
	if !a.checkHead() {
		return nil // it leaves nothing to compare with
	}
	for _, check := range []func(context.Context) error{
		a.checkLog, a.checkBeyond, a.checkProducers, a.checkNames, a.checkConsumers,
		a.refresh, // the rows read last were those of the same topic
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *topicAudit) checkHead() bool {
	if a.head.First < 0 || a.head.First > a.head.Next {
		a.find("first_offset", fmt.Sprintf("between 0 and next_offset %d", a.head.Next), number(a.head.First))
		return false
	}
	a.equal("bucket of the topic's id", int64(BucketOfID(a.head.ID)), int64(BucketOf(a.head.Name)))
	return true
}

// refresh reads the head anew. What was read before it, by any row, lies below its end.
func (a *topicAudit) refresh(ctx context.Context) error {
	heads, err := a.store.Heads(ctx, []TopicName{a.head.Name})
	if err != nil {
		return fmt.Errorf("read the head again: %w", err)
	}
	if len(heads) == 0 || heads[0].ID != a.head.ID || heads[0].Incarnation != a.head.Incarnation {
		return errMoved
	}
	a.latest = heads[0]
	return nil
}

// unmoved reports whether nothing was appended to the topic since its head was read.
func (a *topicAudit) unmoved(ctx context.Context) (bool, error) {
	if a.latest.Next != a.head.Next {
		return false, nil
	}
	err := a.refresh(ctx)
	return a.latest.Next == a.head.Next, err
}
