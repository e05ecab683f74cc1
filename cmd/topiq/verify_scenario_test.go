package main

import (
	"slices"
	"strings"
	"testing"
)

func messagesOf(plan scenario) (total int) {
	for _, t := range plan.topics {
		total += t.messages
	}
	return total
}

func TestVerifyScenarioOfTheCourse(t *testing.T) {
	t.Parallel()
	plan := sizes{}.scenario()
	if total := messagesOf(plan); total != 4965 {
		t.Errorf("%d messages, want 4965", total)
	}
	var got []string
	for _, topic := range plan.topics {
		sum := 0
		for i := range topic.producers {
			sum += share(topic.messages, len(topic.producers), i)
		}
		if sum != topic.messages {
			t.Errorf("%s: the shares are %d messages, want %d", topic.label, sum, topic.messages)
		}
		got = append(got, topic.label+": "+strings.Join(topic.producers, " ")+" to "+strings.Join(plan.consumersOf(topic.label), " "))
	}
	want := []string{"T-1: P1 P2 P3 to C1 C2 C3", "T-2: P1 P4 P5 to C1", "T-3: P1 P2 to C1 C2 C3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerifySizes(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		sizes
		topics, producers, consumers, messages int
	}{
		"fewer messages":  {sizes{messages: 10}, 3, 3, 3, 10},
		"one message":     {sizes{messages: 1}, 3, 3, 3, 1},
		"more messages":   {sizes{messages: 1_000_001}, 3, 3, 3, 1_000_001},
		"only topics":     {sizes{topics: 7}, 7, 5, 3, 4965},
		"only producers":  {sizes{producers: 9}, 3, 9, 3, 4965},
		"only consumers":  {sizes{consumers: 9}, 3, 5, 9, 4965},
		"everything":      {sizes{2, 4, 6, 8}, 6, 2, 4, 8},
		"a topic without": {sizes{topics: 3, messages: 2}, 3, 5, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := row.scenario()
			if len(plan.topics) != row.topics || len(plan.topics[0].producers) != row.producers ||
				len(plan.consumers) != row.consumers || messagesOf(plan) != row.messages {
				t.Errorf("got %+v", plan)
			}
		})
	}
}

// TestVerifyTexts checks that no two messages are the same, and that a message says which it is.
func TestVerifyTexts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, topic := range courseScenario().topics {
		for i, producer := range topic.producers {
			for line := range share(topic.messages, len(topic.producers), i) {
				want := tag{topic.label, producer, line}
				text := want.text(1)
				if got, ok := tagOf(text); !ok || got != want {
					t.Fatalf("%q is %v, want %v", text, got, want)
				}
				if seen[text] || text != want.text(1) || text == want.text(2) {
					t.Fatalf("%q is not of its seed and its message alone", text)
				}
				seen[text] = true
			}
		}
	}
	for _, text := range []string{"", "T-1 P1 0", "T-1 P1 x abc"} {
		if got, ok := tagOf(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}
