package dbtest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/topiq/topiq/service"
)

// fencingTests let registers meet one another, and appends.
func fencingTests() []test {
	return []test{
		{"RacingRegistersAreDifferentSessions", racingRegisters},
		{"RacingConsumersOfOneNameAreOne", racingConsumers},
		{"AfterRegisterNoOlderEpochTakesEffect", registerFences},
		{"NameIsCountedWhileItIsRegistered", countedWhileRegistered},
	}
}

func racingRegisters(k *kit) {
	const racers = 8
	rounds(1, 20, func(round int) {
		topic := k.newTopic(strconv.Itoa(round))
		ids, epochs, topics := map[service.ProducerID]bool{}, map[int64]bool{}, map[service.TopicID]bool{}
		var same [racers]service.Producer
		var mu sync.Mutex
		together(racers, func(i int) {
			row, head, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
				Topic: topic, Name: "p", Instance: strconv.Itoa(i),
			})
			if err != nil {
				k.Error(err)
			}
			same[i], _, err = k.RegisterProducer(k.Context(), service.ProducerRegistration{
				Topic: topic, Name: "same", Instance: "one",
			})
			if err != nil {
				k.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[row.ID], epochs[row.Epoch], topics[head.ID] = true, true, true
		})
		equal(k, "ids, epochs and topics", []int{len(ids), len(epochs), len(topics)}, []int{1, racers, 1})
		for i := range racers {
			equal(k, "racer with the same instance", same[i], same[0])
		}
		equal(k, "epoch of the same instance", same[0].Epoch, 1)
	})
}

func racingConsumers(k *kit) {
	rounds(1, 20, func(round int) {
		head := k.topic(strconv.Itoa(round))
		var rows [8]service.Consumer
		together(len(rows), func(i int) {
			row, _, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{Topic: head.Name, Name: "c", At: start()})
			if err != nil {
				k.Error(err)
			}
			rows[i] = row
		})
		for i := range rows {
			equal(k, "racer's consumer", rows[i], rows[0])
		}
	})
}

// registerFences requires of each register that it answers all that earlier sessions did, and
// that they do nothing from then on (I14).
func registerFences(k *kit) {
	head := k.topic("a")
	session := k.producer(head.Name, "p")
	for range 6 {
		var next service.Producer
		var accepted [2]int64
		var started [2]chan struct{}
		for i := range started {
			started[i] = make(chan struct{})
		}
		var failed atomic.Bool
		together(3, func(i int) {
			if i == 2 {
				<-started[0]
				<-started[1]
				var err error
				if next, err = k.register(head.Name, "p", ""); err != nil {
					failed.Store(true)
					k.Error(err)
				}
				return
			}
			begun := sync.OnceFunc(func() { close(started[i]) })
			defer begun()
			for !failed.Load() {
				r := inSession(session, send(session, "x"))
				if i == 0 {
					r.Seq = session.NextSeq + accepted[0]
				}
				if answer := k.answer(r); !strings.Contains(answer, "@") {
					if want := fmt.Sprintf("producer_fenced epoch=%d", session.Epoch+1); answer != want {
						k.Errorf("a writer got %s, want %s", answer, want)
					}
					return
				}
				accepted[i]++
				begun()
			}
		})
		equal(k, "next seq answered by register", next.NextSeq, session.NextSeq+accepted[0])
		equal(k, "count answered by register", next.Count, session.Count+accepted[0]+accepted[1])
		row, err := k.Producer(k.Context(), head.Name, "p")
		k.ok(err)
		equal(k, "producer when all writers have ended", row, next)
		session = next
	}
	equal(k, "messages", int64(len(k.log(head.Name))), session.Count)
}

// countedWhileRegistered lets the row of a name be made by messages and by a register at once.
func countedWhileRegistered(k *kit) {
	rounds(4, 50, func(round int) {
		head := k.topic(strconv.Itoa(round))
		p := k.producer(head.Name, "")
		together(6, func(i int) {
			if i < 2 {
				if _, err := k.register(head.Name, "n", strconv.Itoa(i)); err != nil {
					k.Error(err)
				}
				return
			}
			for range 3 {
				if answer := k.answer(as("n", send(p, "x"))); !strings.HasPrefix(answer, "-@") {
					k.Errorf("got %s", answer)
				}
			}
		})
		row, err := k.Producer(k.Context(), head.Name, "n")
		k.ok(err)
		equal(k, "count and epoch", []int64{row.Count, row.Epoch}, []int64{12, 2})
	})
}
