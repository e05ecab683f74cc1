package dbtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/topiq/topiq/service"
)

func topicTests() []test {
	return []test{
		{"PropertiesAreFacts", propertiesAreFacts},
		{"NewTopicStartsAtZero", newTopicStartsAtZero},
		{"ExistingNameIsRefusedAndUnchanged", existingNameIsRefused},
		{"RacingCreatesHaveOneWinner", racingCreatesHaveOneWinner},
		{"HeadsAnswersThoseThatExist", headsAnswersThoseThatExist},
		{"ChangedAnswersThoseThatAreDifferent", changedAnswersThose},
		{"NamesThatDifferInCaseAreDifferent", caseMatters},
		{"AnyNameOf128BytesWorks", longNames},
		{"ListIsInByteOrder", listIsInByteOrder},
		{"ListTakesPrefixesLiterally", listTakesPrefixesLiterally},
		{"ListPagesMeet", listPagesMeet},
		{"CountClientsCountsTheRegistered", countClients},
	}
}

func propertiesAreFacts(k *kit) {
	k.ok(k.Ping(k.Context()))
	p := k.Properties()
	if p.Engine == "" || p.Lanes < 1 || p.Lanes > service.Buckets {
		k.Errorf("got engine %q with %d lanes", p.Engine, p.Lanes)
	}
	classes := []service.Durability{
		service.DurabilityMemory, service.DurabilityFsync, service.DurabilityReplicated,
	}
	if !slices.Contains(classes, p.Durability) {
		k.Errorf("%q is no durability class", p.Durability)
	}
	equal(k, "Properties asked again", k.Properties(), p)
}

func newTopicStartsAtZero(k *kit) {
	head := k.topic("a")
	want := service.Head{
		ID: head.ID, Name: k.name("a"), Incarnation: k.newTopic("a").Incarnation, CreatedAt: kept(start()),
	}
	equal(k, "new head", head, want)
	equal(k, "head read", k.head(head.Name), want)
	checkID(k, head.ID, head.Name)
	k.holds(head.Name)
}

// checkID checks that an id fits on the wire and carries the bucket of its topic.
func checkID[ID ~int64](k *kit, id ID, topic service.TopicName) {
	k.Helper()
	if id < 1 || id > service.MaxInteger {
		k.Errorf("id %d of %q is not in 1 … 2^53−1", id, topic)
	}
	equal(k, "bucket of the id", service.BucketOfID(id), service.BucketOf(topic))
}

func existingNameIsRefused(k *kit) {
	head := k.topic("a")
	again := service.NewTopic{Name: head.Name, Incarnation: "other", At: after(1e9)}
	_, err := k.CreateTopic(k.Context(), again)
	k.refused(err, "topic_exists")
	equal(k, "head", k.head(head.Name), head)
}

func racingCreatesHaveOneWinner(k *kit) {
	rounds(2, 1000, func(round int) {
		suffix := strconv.Itoa(round)
		var won, winners atomic.Int64
		together(4, func(int) {
			head, err := k.CreateTopic(k.Context(), k.newTopic(suffix))
			if err == nil {
				won.Store(int64(head.ID))
				winners.Add(1)
			} else if refusal(err) != "topic_exists" {
				k.Errorf("a loser got %v", err)
			}
		})
		equal(k, "winners", winners.Load(), 1)
		equal(k, "id of the winner", won.Load(), int64(k.head(k.name(suffix)).ID))
	})
}

func headsAnswersThoseThatExist(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(b, 3)
	b = k.head(b.Name)
	heads, err := k.Heads(k.Context(), []service.TopicName{k.name("none"), b.Name, a.Name})
	k.ok(err)
	equal(k, "heads", sorted(heads, topicID), sorted([]service.Head{a, b}, topicID))
	heads, err = k.Heads(k.Context(), nil)
	k.ok(err)
	equal(k, "heads of no names", heads, nil)
}

func changedAnswersThose(k *kit) {
	same, longer, gone, renewed, anew := k.topic("same"), k.topic("longer"), k.topic("gone"), k.topic("renewed"), k.topic("anew")
	foreign := k.topic("foreign")
	k.estrange(foreign.Name)
	k.fill(same, 2)
	same = k.head(same.Name)
	k.fill(longer, 1)
	k.ok(k.DeleteTopic(k.Context(), gone.Name, start()))
	k.ok(k.DeleteTopic(k.Context(), anew.Name, start()))
	k.topic("anew")
	_, err := k.NewIncarnation(k.Context(), renewed.Name, "another")
	k.ok(err)
	names, err := k.Changed(k.Context(), []service.Head{same, longer, gone, renewed, anew, foreign})
	k.ok(err)
	slices.Sort(names)
	equal(k, "changed", names, []service.TopicName{anew.Name, foreign.Name, gone.Name, longer.Name, renewed.Name})
	names, err = k.Changed(k.Context(), []service.Head{same, k.head(longer.Name), k.head(renewed.Name), k.head(anew.Name)})
	k.ok(err)
	equal(k, "changed since", names, nil)
	names, err = k.Changed(k.Context(), nil)
	k.ok(err)
	equal(k, "changed of none", names, nil)
}

func topicID(h service.Head) service.TopicID { return h.ID }

func caseMatters(k *kit) {
	lower, upper := k.topic("name"), k.topic("NAME")
	k.fill(upper, 1)
	equal(k, "head of the other name", k.head(lower.Name), lower)
	_, err := k.CreateTopic(k.Context(), k.newTopic("Name"))
	k.ok(err)
}

func longNames(k *kit) {
	long := strings.Repeat("x", 128-len(k.name("")))
	for _, suffix := range []string{long, "..", "-", "_", "9.", "null", "topics", "A.b_c-D"} {
		head := k.topic(suffix)
		k.fill(head, 1)
		equal(k, "Next", k.head(k.name(suffix)).Next, 1)
	}
}

// list reads names by pages and takes the test's own prefix off them.
func (k *kit) list(prefix, after string, limit int) []string {
	k.Helper()
	if after != "" {
		after = k.prefix + after
	}
	names, err := k.ListTopics(k.Context(), k.prefix+prefix, service.TopicName(after), limit)
	k.ok(err)
	var suffixes []string
	for _, name := range names {
		suffixes = append(suffixes, strings.TrimPrefix(string(name), k.prefix))
	}
	return suffixes
}

func listIsInByteOrder(k *kit) {
	for _, suffix := range []string{"a", "B", "b", "A", "_", "-", ".", "0", "aa", "a.b", "a-b", "aB"} {
		k.topic(suffix)
	}
	want := []string{"-", ".", "0", "A", "B", "_", "a", "a-b", "a.b", "aB", "aa", "b"}
	equal(k, "names", k.list("", "", 100), want)
	equal(k, "names after one that exists", k.list("", "a-b", 100), want[8:])
	equal(k, "names after one that does not", k.list("", "a-c", 100), want[8:])
	equal(k, "names after the last", k.list("", "b", 100), nil)
}

func listTakesPrefixesLiterally(k *kit) {
	for _, suffix := range []string{"a_b", "aXb", "a.b", "a-b", "a_", "A_b", "ab"} {
		k.topic(suffix)
	}
	for _, row := range []struct {
		prefix string
		want   []string
	}{
		{"a_", []string{"a_", "a_b"}},
		{"a_b", []string{"a_b"}},
		{"a.", []string{"a.b"}},
		{"a-", []string{"a-b"}},
		{"A", []string{"A_b"}},
		{"a%", nil},
		{"%", nil},
		{"a*", nil},
		{"a?", nil},
		{"[a]", nil},
		{`a\_`, nil},
		{"a'", nil},
		{"zz", nil},
	} {
		equal(k, fmt.Sprintf("names with prefix %q", row.prefix), k.list(row.prefix, "", 100), row.want)
	}
	equal(k, "names with a prefix, after one of them", k.list("a_", "a_", 100), []string{"a_b"})
	equal(k, "names with a prefix, after all of them", k.list("a_", "b", 100), nil)
	equal(k, "names with a prefix, after one before all of them", k.list("a_", "A", 100), []string{"a_", "a_b"})
}

func listPagesMeet(k *kit) {
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("p%d", i))
		k.topic(want[i])
	}
	for _, limit := range []int{1, 2, 3, 7, 8} {
		var got []string
		for {
			after := ""
			if len(got) > 0 {
				after = got[len(got)-1]
			}
			part := k.list("p", after, limit)
			if len(part) > limit || len(got) > len(want) {
				k.Fatalf("got %q after %q with limit %d", part, got, limit)
			}
			if len(part) == 0 {
				break
			}
			got = append(got, part...)
		}
		equal(k, fmt.Sprintf("pages of %d", limit), got, want)
	}
}

func countClients(k *kit) {
	head := k.topic("a")
	anonymous := k.producer(head.Name, "")
	k.producer(head.Name, "named")
	k.producer(head.Name, "named")
	k.answers(k.append(as("counted-only", send(anonymous, "x"))), "-@0*1")
	k.consumer(head.Name, "", service.FromBeginning)
	k.consumer(head.Name, "c", service.FromBeginning)
	k.consumer(head.Name, "c", service.FromEnd)
	producers, consumers, err := k.CountClients(k.Context(), head.ID)
	k.ok(err)
	equal(k, "producers", producers, 2)
	equal(k, "consumers", consumers, 2)
	producers, consumers, err = k.CountClients(k.Context(), k.topic("b").ID)
	k.ok(err)
	equal(k, "clients of another topic", producers+consumers, 0)
}
