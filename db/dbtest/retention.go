package dbtest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/topiq/topiq/service"
)

func retentionTests() []test {
	return []test{
		{"KeepsEverythingUnlessTold", keepsEverything},
		{"CreatedWithRetention", createdWithRetention},
		{"ChangesOnlyWhatIsSaid", changesOnly},
		{"SetOfAMissingTopicIsRefused", setMissing},
		{"GoesWithTheTopic", retentionGoes},
		{"ForeignTopicIsRefused", retentionForeign},
		{"ListsInPages", listsRetained},
		{"ExcessIsWhatMustGo", excess},
		{"ExcessOfAnotherFloorIsNothing", excessMoved},
		{"TrimWaitsForConsumers", trimWaits},
		{"TrimOverruled", trimOverruled},
		{"TrimWaitsForConsumersThatAreNotThere", trimWaitsForMissing},
		{"DuplicateThatWasTrimmedHasNoOffset", duplicateTrimmed},
		{"LargestPartIsSweptFirst", largestFirst},
	}
}

func keepsEverything(k *kit) {
	head := k.topic("a")
	kept, err := k.Retention(k.Context(), head.ID)
	k.ok(err)
	equal(k, "retention", kept, service.Retention{})
	kept, err = k.Retention(k.Context(), head.ID+service.Buckets<<30)
	k.ok(err)
	equal(k, "retention of a missing topic", kept, service.Retention{})
}

func createdWithRetention(k *kit) {
	topic := k.newTopic("a")
	topic.Retention = service.Retention{MaxAge: time.Hour, MaxBytes: 1, MaxMessages: service.MaxInteger, KeepFor: []string{"c"}}
	head, err := k.CreateTopic(k.Context(), topic)
	k.ok(err)
	kept, err := k.Retention(k.Context(), head.ID)
	k.ok(err)
	equal(k, "retention", kept, topic.Retention)
}

func changesOnly(k *kit) {
	head := k.topic("a")
	var want service.Retention
	for i, row := range []struct {
		change service.RetentionChange
		want   service.Retention
	}{
		{service.RetentionChange{MaxBytes: new(int64(7))}, service.Retention{MaxBytes: 7}},
		{service.RetentionChange{MaxAge: new(service.MaxRetentionAge)}, service.Retention{MaxBytes: 7, MaxAge: service.MaxRetentionAge}},
		{service.RetentionChange{KeepFor: new([]string{"b", "a", "b"})}, service.Retention{
			MaxBytes: 7, MaxAge: service.MaxRetentionAge, KeepFor: []string{"a", "b"},
		}},
		{service.RetentionChange{MaxBytes: new(int64(0)), MaxMessages: new(int64(3))}, service.Retention{
			MaxAge: service.MaxRetentionAge, MaxMessages: 3, KeepFor: []string{"a", "b"},
		}},
		{service.RetentionChange{MaxAge: new(time.Duration(0)), MaxMessages: new(int64(0))}, service.Retention{KeepFor: []string{"a", "b"}}},
		{service.RetentionChange{KeepFor: new([]string{})}, service.Retention{}},
		{service.RetentionChange{KeepFor: new([]string{})}, service.Retention{}},
		{service.RetentionChange{MaxAge: new(time.Second)}, service.Retention{MaxAge: time.Second}},
	} {
		got, kept, err := k.SetRetention(k.Context(), head.Name, row.change)
		k.ok(err)
		equal(k, "head", got, head)
		want = row.want
		equal(k, fmt.Sprintf("answer to change %d", i), kept, want)
		kept, err = k.Retention(k.Context(), head.ID)
		k.ok(err)
		equal(k, fmt.Sprintf("retention after change %d", i), kept, want)
	}
	equal(k, "head read", k.head(head.Name), head)
}

func setMissing(k *kit) {
	_, _, err := k.SetRetention(k.Context(), k.name("a"), service.RetentionChange{MaxBytes: new(int64(1))})
	k.refused(err, "topic_not_found")
}

func retentionGoes(k *kit) {
	head := k.topic("a")
	_, _, err := k.SetRetention(k.Context(), head.Name, service.RetentionChange{MaxBytes: new(int64(1))})
	k.ok(err)
	k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	again := k.topic("a")
	for _, id := range []service.TopicID{head.ID, again.ID} {
		kept, err := k.Retention(k.Context(), id)
		k.ok(err)
		equal(k, "retention", kept, service.Retention{})
	}
}

func retentionForeign(k *kit) {
	head := k.topic("a")
	k.estrange(head.Name)
	_, _, err := k.SetRetention(k.Context(), head.Name, service.RetentionChange{MaxBytes: new(int64(1))})
	k.refused(err, "unavailable")
	kept, err := k.Retention(k.Context(), head.ID)
	k.ok(err)
	equal(k, "retention", kept, service.Retention{})
}

func listsRetained(k *kit) {
	k = k.alone()
	names := map[service.TopicName]int64{}
	for i := range 9 {
		head := k.topic(strconv.Itoa(i))
		if i%3 == 0 {
			continue // keeps everything
		}
		names[head.Name] = int64(i)
		_, _, err := k.SetRetention(k.Context(), head.Name, service.RetentionChange{MaxMessages: new(int64(i))})
		k.ok(err)
	}
	var after service.TopicID
	for pages := 0; len(names) > 0; pages++ {
		page, err := k.ListRetained(k.Context(), after, 4)
		k.ok(err)
		equal(k, "entries of a page", len(page), min(4, len(names)))
		for i := range page {
			r := &page[i]
			equal(k, "retention", r.Retention, service.Retention{MaxMessages: names[r.Name]})
			equal(k, "id", r.ID, k.head(r.Name).ID)
			delete(names, r.Name)
		}
		after = page[len(page)-1].ID
	}
	page, err := k.ListRetained(k.Context(), after, 4)
	k.ok(err)
	equal(k, "entries after the last", len(page), 0)
}

func excess(k *kit) {
	head := k.topic("a")
	k.answers(k.append(send(k.producer(head.Name, ""), "1", "22", "", "4444", "55555")), "-@0*5")
	for _, row := range []struct {
		bytes int64
		limit int
		want  service.Offset
	}{
		{-1, 9, 0},
		{0, 9, 0},
		{1, 9, 1},
		{2, 9, 2},
		{3, 9, 2},
		{4, 9, 4},
		{7, 9, 4},
		{8, 9, 5},
		{99, 9, 5},
		{99, 3, 3},
		{1, 1, 1},
	} {
		got, err := k.FindExcess(k.Context(), head.ID, 0, row.bytes, row.limit)
		k.ok(err)
		equal(k, fmt.Sprintf("end of %d bytes within %d messages", row.bytes, row.limit), got, row.want)
	}
}

func excessMoved(k *kit) {
	head := k.topic("a")
	k.fill(head, 9)
	_, err := k.Trim(k.Context(), head.ID, 3)
	k.ok(err)
	for from, want := range map[service.Offset]service.Offset{0: 0, 2: 2, 3: 5, 4: 4} {
		got, err := k.FindExcess(k.Context(), head.ID, from, 2, 100)
		k.ok(err)
		equal(k, fmt.Sprintf("end from %d", from), got, want)
	}
}

// keep sets whom the messages of a topic are kept for, and returns all that is set.
func (k *kit) keep(topic service.TopicName, names ...string) service.Retention {
	k.Helper()
	_, set, err := k.SetRetention(k.Context(), topic, service.RetentionChange{KeepFor: &names})
	k.ok(err)
	return set
}

// trimOverruled: what was decided by an earlier retention is not done any more, for the later one was
// answered.
func trimOverruled(k *kit) {
	head := k.topic("a")
	k.fill(head, 9)
	_, before, err := k.SetRetention(k.Context(), head.Name, service.RetentionChange{MaxMessages: new(int64(1))})
	k.ok(err)
	for name, change := range map[string]service.RetentionChange{
		"another consumer": {KeepFor: new([]string{k.prefix + "billing"})}, "more messages": {MaxMessages: new(int64(5))},
		"more bytes": {MaxBytes: new(int64(1000))}, "older ones": {MaxAge: new(time.Hour)},
	} {
		_, set, err := k.SetRetention(k.Context(), head.Name, change)
		k.ok(err)
		got, err := k.Trim(k.Context(), head.ID, 8, before)
		k.ok(err)
		equal(k, "first offset after "+name, got.First, 0)
		before = set
	}
	_, set, err := k.SetRetention(k.Context(), head.Name, service.RetentionChange{KeepFor: new([]string{})})
	k.ok(err)
	got, err := k.Trim(k.Context(), head.ID, 8, set)
	k.ok(err)
	equal(k, "first offset as is set", got.First, 8)
	equal(k, "messages", len(k.log(head.Name)), 1)
}

func trimWaits(k *kit) {
	head := k.topic("a")
	k.fill(head, 9)
	slow, fast := k.consumer(head.Name, k.prefix+"slow", 2), k.consumer(head.Name, k.prefix+"fast", 7)
	trim := func(before, want service.Offset, names ...string) {
		k.Helper()
		got, err := k.Trim(k.Context(), head.ID, before, k.keep(head.Name, names...))
		k.ok(err)
		equal(k, fmt.Sprintf("first offset after a trim before %d for %q", before, names), got.First, want)
		equal(k, "messages", len(k.log(head.Name)), int(9-want))
	}
	trim(1, 1, slow.Name, fast.Name)
	trim(5, 2, slow.Name, fast.Name)
	trim(5, 2, slow.Name)
	k.moves(k.move(take(slow, 2)), "2:2,3")
	trim(5, 4, fast.Name, slow.Name)
	trim(99, 7, fast.Name)
	trim(6, 7, fast.Name)
	trim(99, 7, slow.Name)
	trim(99, 9)
}

func trimWaitsForMissing(k *kit) {
	head := k.topic("a")
	k.fill(head, 3)
	c := k.consumer(head.Name, k.prefix+"c", service.FromEnd)
	for _, names := range [][]string{{k.prefix + "nobody"}, {c.Name, k.prefix + "nobody"}} {
		got, err := k.Trim(k.Context(), head.ID, 2, k.keep(head.Name, names...))
		k.ok(err)
		equal(k, "first offset", got.First, 0)
	}
	k.ok(k.UnregisterConsumer(k.Context(), head.Name, c.ID))
	got, err := k.Trim(k.Context(), head.ID, 2, k.keep(head.Name, c.Name))
	k.ok(err)
	equal(k, "first offset when the consumer has gone", got.First, 0)
	other := k.topic("b")
	k.consumer(other.Name, k.prefix+"c", service.FromEnd)
	got, err = k.Trim(k.Context(), head.ID, 2, k.keep(head.Name, k.prefix+"c"))
	k.ok(err)
	equal(k, "first offset for a consumer of another topic", got.First, 0)
}

func duplicateTrimmed(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "0", "1", "2")), "0@0*3")
	for range 2 { // with the rows there, and without
		_, err := k.Trim(k.Context(), head.ID, 2)
		k.ok(err)
		k.answers(k.append(sendSeq(p, 0, "0", "1", "2")), "0@-*2 2@2*1 dup")
		k.answers(k.append(sendSeq(p, 0, "other")), "0@-*1 dup")
		k.sweep(100)
	}
}

func largestFirst(k *kit) {
	k = k.alone()
	small, large := k.topic("a"), k.topic("b")
	k.fill(small, 20)
	k.fill(large, 200)
	for _, head := range []service.Head{small, large} {
		_, err := k.Trim(k.Context(), head.ID, head.Next+200)
		k.ok(err)
	}
	for total := 0; ; {
		n, err := k.Sweep(k.Context(), 50)
		k.ok(err)
		total += n
		if total == 0 && n != 0 && n < 50 { // the smaller one has only 20
			k.Errorf("the first sweep removed %d rows: the smaller part went first", n)
		}
		if n == 0 {
			if total != 0 && total != 220 { // an engine may keep nothing to sweep
				k.Errorf("%d rows were swept, but 220 messages were trimmed", total)
			}
			break
		}
	}
	k.holds(small.Name)
	k.holds(large.Name)
}
