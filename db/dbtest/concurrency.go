package dbtest

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/service"
)

func concurrencyTests() []test {
	return []test{
		{"SixteenWritersOnOneTopicAreDenseAndInOrder", sixteenWriters},
		{"OverlappingGroupsInAnyOrderAllEnd", overlappingGroups},
		{"SixRacersOnOneSeqStoreItOnce", racersOnOneSeq},
		{"ReadersSeeADensePrefix", readersSeePrefix},
	}
}

// together calls f(0) … f(n−1) at the same time and waits for all. f must not end the test. Nobody
// starts before all are awake, for on a fast engine the first would be done by then.
func together(n int, f func(i int)) {
	var awake atomic.Int64
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() {
			for awake.Add(1); awake.Load() < int64(n); {
				runtime.Gosched()
			}
			f(i)
		})
	}
	done.Wait()
}

// rounds repeats a race at least few times; and where it is over quickly, so that the moments that
// matter are short, as often as it can within a fraction of a second, but at most many times.
func rounds(few, many int, race func(round int)) {
	enough := time.Now().Add(200 * time.Millisecond)
	for round := range many {
		if round >= few && time.Now().After(enough) {
			return
		}
		race(round)
	}
}

// answer stores one request and describes its answer. Unlike append it may be called from any
// goroutine.
func (k *kit) answer(r service.AppendRequest) string {
	plan, err := k.Append(k.Context(), []service.AppendRequest{r}, start())
	if err != nil {
		return fmt.Sprintf("error %v", err)
	}
	return describe(&plan.Results[0])
}

func sixteenWriters(k *kit) {
	const writers, messages = 16, 12
	head := k.topic("a")
	var producers []service.Producer
	for i := range writers {
		producers = append(producers, k.producer(head.Name, fmt.Sprintf("p%d", i)))
	}
	var told [writers][messages]string
	together(writers, func(i int) {
		for seq := range messages {
			told[i][seq] = k.answer(sendSeq(producers[i], int64(seq), fmt.Sprintf("%d-%d", i, seq)))
		}
	})
	log := k.log(head.Name)
	equal(k, "messages", len(log), writers*messages)
	var next [writers]int
	for _, m := range log {
		var i, seq int
		if _, err := fmt.Sscanf(string(m.Bytes), "%d-%d", &i, &seq); err != nil {
			k.Fatal(err)
		}
		equal(k, "next message of its producer", seq, next[i])
		next[i]++
		equal(k, "answer", told[i][seq], fmt.Sprintf("%d@%d*1", seq, m.Offset))
	}
}

// overlappingGroups lets groups that share topics name them in different orders. If each locked
// them in its own order, two would wait for each other for ever.
func overlappingGroups(k *kit) {
	const topics, groups = 4, 8
	var producers [groups][topics]service.Producer
	for j := range topics {
		head := k.topic(strconv.Itoa(j))
		for i := range groups {
			producers[i][j] = k.producer(head.Name, fmt.Sprintf("p%d", i))
		}
	}
	orders := [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3}, {3, 0, 1}, {1, 2}, {2, 1}, {0, 3}}
	var want [topics]int
	rounds(8, 400, func(seq int) {
		together(groups, func(i int) {
			var requests []service.AppendRequest
			for _, j := range orders[i] {
				requests = append(requests, sendSeq(producers[i][j], int64(2*seq), "a", "b"))
			}
			plan, err := k.Append(k.Context(), requests, start())
			if err != nil {
				k.Errorf("group %d: %v", i, err)
				return
			}
			for at := range plan.Results {
				if err := plan.Results[at].Err; err != nil {
					k.Errorf("group %d: %v", i, err)
				}
			}
		})
		for i := range groups {
			for _, j := range orders[i] {
				want[j] += 2
			}
		}
	})
	for j := range topics {
		equal(k, "messages", len(k.log(k.name(strconv.Itoa(j)))), want[j])
	}
}

func racersOnOneSeq(k *kit) {
	const racers, seqs = 6, 10
	head := k.topic("a")
	p, q := k.producer(head.Name, "p"), k.producer(head.Name, "")
	for seq := range int64(seqs) {
		var told [racers]string
		together(racers, func(i int) {
			if i == 0 { // so that offsets and seqs are not the same numbers
				if answer := k.answer(send(q, "x")); answer[:2] != "-@" {
					k.Errorf("got %s", answer)
				}
			}
			told[i] = k.answer(sendSeq(p, seq, "p"))
		})
		originals := 0
		offset := k.offsetOf("p", seq, head.Name)
		for i := range racers {
			if told[i] == fmt.Sprintf("%d@%d*1", seq, offset) {
				originals++
			} else {
				equal(k, "answer of a later racer", told[i], fmt.Sprintf("%d@%d*1 dup", seq, offset))
			}
		}
		equal(k, "racers told that they were the first", originals, 1)
	}
	equal(k, "messages", len(k.log(head.Name)), 2*seqs)
}

// offsetOf finds the one message stored under a seq.
func (k *kit) offsetOf(name string, seq int64, topic service.TopicName) service.Offset {
	k.Helper()
	found := service.Offset(-1)
	for _, m := range k.log(topic) {
		if m.ProdName == name && m.Seq == seq {
			if found >= 0 {
				k.Fatalf("seq %d of %q is stored at %d and at %d", seq, name, found, m.Offset)
			}
			found = m.Offset
		}
	}
	return found
}

// readersSeePrefix requires that whatever a head shows can be read, that it never goes back, and
// that a reader sees all of an append or nothing.
func readersSeePrefix(k *kit) {
	const size = 50
	head := k.topic("a")
	var texts []string
	for i := range size {
		texts = append(texts, strconv.Itoa(i))
	}
	r := send(k.producer(head.Name, ""), texts...)
	appends := 0
	var ends [4]service.Offset
	var ended atomic.Bool
	together(len(ends), func(i int) {
		if i > 0 {
			ok := true
			for last := false; ok && !last; {
				last = ended.Load() // before the read: what was stored by then must be seen
				ends[i], ok = k.readOn(head, ends[i], size)
			}
			return
		}
		defer ended.Store(true)
		rounds(20, 400, func(int) {
			appends++
			if answer := k.answer(r); !strings.HasPrefix(answer, "-@") {
				k.Errorf("got %s", answer)
			}
		})
	})
	ends[0] = service.Offset(len(k.log(head.Name)))
	for i := range ends {
		equal(k, "end that was seen", ends[i], service.Offset(size*appends))
	}
}

// readOn reads from next to the end that the head shows, and returns that end.
func (k *kit) readOn(topic service.Head, next service.Offset, size int) (end service.Offset, ok bool) {
	heads, err := k.Heads(k.Context(), []service.TopicName{topic.Name})
	if err != nil || len(heads) != 1 || heads[0].Next < next || int(heads[0].Next)%size != 0 {
		k.Errorf("after a head with Next %d: got %+v, %v", next, heads, err)
		return next, false
	}
	for next < heads[0].Next {
		messages, err := k.Read(k.Context(), topic.ID, next, 33, 1<<20)
		if err != nil || len(messages) == 0 {
			k.Errorf("offset %d of %d: got %d messages, %v", next, heads[0].Next, len(messages), err)
			return next, false
		}
		for i := range messages {
			m := &messages[i]
			if want := strconv.Itoa(int(next) % size); m.Offset != next || string(m.Bytes) != want {
				k.Errorf("at %d: got offset %d with %q", next, m.Offset, m.Bytes)
			}
			next++
		}
	}
	return next, true
}
