package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// scenario is who sends how much to which topic, and who reads it. Topics have their short labels
// here; what they are called on the broker is another matter, see workload.
type scenario struct {
	topics    []topicPlan
	consumers []consumerPlan
}

// topicPlan is one topic: its messages are shared out among its producers.
type topicPlan struct {
	label     string
	producers []string
	messages  int
}

// consumerPlan is one consumer and the topics it reads.
type consumerPlan struct {
	name   string
	topics []string
}

// courseScenario is the one that this kind of log was first tested with, by people who wrote one
// for a course on distributed systems.
func courseScenario() scenario {
	return scenario{
		topics: []topicPlan{
			{"T-1", []string{"P1", "P2", "P3"}, 1821},
			{"T-2", []string{"P1", "P4", "P5"}, 2317},
			{"T-3", []string{"P1", "P2"}, 827},
		},
		consumers: []consumerPlan{
			{"C1", []string{"T-1", "T-2", "T-3"}},
			{"C2", []string{"T-1", "T-3"}},
			{"C3", []string{"T-1", "T-3"}},
		},
	}
}

// Sizes of a scenario where only some of them are asked for.
const (
	defaultProducers = 5
	defaultConsumers = 3
	defaultTopics    = 3
	defaultMessages  = 4965
)

// sizes are those that were asked for; 0 is not asked for.
type sizes struct{ producers, consumers, topics, messages int }

// scenario is that of the course, with another number of messages if only that is asked for;
// otherwise everybody works with every topic.
func (s sizes) scenario() scenario {
	course := s.producers == 0 && s.consumers == 0 && s.topics == 0
	total := orElse(s.messages, defaultMessages)
	if course {
		plan := courseScenario()
		scale(plan.topics, total)
		return plan
	}
	plan := scenario{
		topics:    make([]topicPlan, orElse(s.topics, defaultTopics)),
		consumers: make([]consumerPlan, orElse(s.consumers, defaultConsumers)),
	}
	producers := numberedNames("P", orElse(s.producers, defaultProducers))
	labels := numberedNames("T-", len(plan.topics))
	for i, label := range labels {
		plan.topics[i] = topicPlan{label, producers, share(total, len(labels), i)}
	}
	for i, name := range numberedNames("C", len(plan.consumers)) {
		plan.consumers[i] = consumerPlan{name, labels}
	}
	return plan
}

// scale shares out another total in the same proportions.
func scale(topics []topicPlan, total int) {
	before := 0
	for _, t := range topics {
		before += t.messages
	}
	given, seen := 0, 0
	for i := range topics {
		seen += topics[i].messages
		upTo := int(int64(total) * int64(seen) / int64(before))
		topics[i].messages, given = upTo-given, upTo
	}
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func numberedNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i+1)
	}
	return names
}

// share is how much of a total the i-th of n gets.
func share(total, n, i int) int {
	if i < total%n {
		return total/n + 1
	}
	return total / n
}

// consumersOf are the consumers that read a topic.
func (s scenario) consumersOf(label string) (names []string) {
	for _, c := range s.consumers {
		if slices.Contains(c.topics, label) {
			names = append(names, c.name)
		}
	}
	return names
}

// tag names one message: line n of a producer's messages for a topic, from 0. On a new topic that
// is also its seq.
type tag struct {
	topic, producer string
	line            int
}

// String names the message in a report.
func (t tag) String() string { return fmt.Sprintf("%s of %s, line %d", t.topic, t.producer, t.line) }

// minRest keeps texts of different seeds apart.
const minRest = 16

// text is what the message says. Who knows the seed knows every byte of every message, and no two
// are the same. They are of different length.
func (t tag) text(seed uint64) string {
	head := t.topic + " " + t.producer + " " + strconv.Itoa(t.line)
	sum := sha256.Sum256([]byte(strconv.FormatUint(seed, 10) + " " + head))
	rest := hex.EncodeToString(sum[:])
	return head + " " + rest[:minRest+int(sum[0])%(len(rest)-minRest)]
}

// tagOf reads what the message of a text calls itself. Whether that is true, text tells.
func tagOf(text string) (tag, bool) {
	fields := strings.SplitN(text, " ", 4)
	if len(fields) != 4 {
		return tag{}, false
	}
	line, err := strconv.Atoi(fields[2])
	return tag{fields[0], fields[1], line}, err == nil
}
