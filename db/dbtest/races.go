package dbtest

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/topiq/topiq/service"
)

// raceTests let methods of different kinds meet: each is atomic, so there must be an order in
// which they happened.
func raceTests() []test {
	return []test{
		{"EightMoversGetEachMessageOnce", eightMovers},
		{"MoveMeetsTrimAndSweep", moveMeetsTrim},
		{"SeekIsNotUndoneByACommit", seekMeetsCommit},
		{"DeleteLeavesNoHalfTopic", deleteMeetsAppend},
		{"RacingDeletesHaveOneWinnerAndLeaveNoConsumer", racingDeletes},
		{"RegisterMeetsDelete", registerMeetsDelete},
	}
}

func eightMovers(k *kit) {
	const movers, messages = 8, 2000
	head := k.topic("a")
	k.fill(head, messages)
	c := k.consumer(head.Name, "c", service.FromBeginning)
	var got [messages]atomic.Int64
	together(movers, func(i int) {
		for round := 0; ; round++ {
			requests := []service.MoveRequest{take(c, 1), take(c, 1+(i+round)%17), take(c, 3)}
			results, err := k.Move(k.Context(), requests, noTail, start())
			if err != nil {
				k.Error(err)
				return
			}
			for j := range results {
				if results[j].Err != nil {
					k.Error(results[j].Err)
				}
				for at := range results[j].Messages {
					got[results[j].Messages[at].Offset].Add(1)
				}
			}
			if len(results[2].Messages) == 0 {
				return
			}
		}
	})
	for offset := range got {
		if n := got[offset].Load(); n != 1 {
			k.Errorf("message %d was dequeued %d times", offset, n)
		}
	}
	equal(k, "position", k.consumerNow(c.ID).Offset, messages)
}

// moveMeetsTrim lets the floor rise, and the rows below it go, under a consumer that moves. A
// head promises messages that a Trim and a Sweep may have removed by the time they are read: an
// engine has to see to it that this is never taken for damage.
func moveMeetsTrim(k *kit) {
	const messages = 300
	rounds(1, 20, func(round int) {
		head := k.topic(strconv.Itoa(round))
		k.fill(head, messages)
		c := k.consumer(head.Name, "c", service.FromBeginning)
		together(3, func(i int) {
			for at := service.Offset(0); at < messages; at += 10 {
				switch i {
				case 0:
					if _, err := k.Trim(k.Context(), head.ID, at/2); err != nil {
						k.Errorf("Trim: %v", err)
					}
				case 1:
					if _, err := k.Sweep(k.Context(), 50); err != nil {
						k.Errorf("Sweep: %v", err)
					}
				default:
					k.follow(c)
				}
			}
		})
		k.log(head.Name)
	})
}

// follow dequeues five messages, or seeks to the floor that has overtaken the consumer. It may be
// called from any goroutine.
func (k *kit) follow(c service.Consumer) {
	results, err := k.Move(k.Context(), []service.MoveRequest{take(c, 5)}, noTail, start())
	if err != nil {
		k.Errorf("Move: %v", err)
		return
	}
	answer := describeMove(&results[0])
	if !strings.HasPrefix(answer, "offset_trimmed") {
		if len(results[0].Messages) != 5 {
			k.Errorf("Move: got %s", answer)
		}
		return
	}
	if _, err = k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: -1}, start()); err != nil {
		k.Errorf("Seek: %v", err)
	}
}

func seekMeetsCommit(k *kit) {
	head := k.topic("a")
	k.fill(head, 20)
	c := k.consumer(head.Name, "c", service.FromBeginning)
	rounds(10, 200, func(round int) {
		offset := service.Offset(round % 10)
		stale := service.OffsetCommit{Consumer: c.ID, Offset: 15, SeekNo: c.SeekNo}
		together(3, func(i int) {
			if i > 0 {
				if err := k.CommitOffsets(k.Context(), []service.OffsetCommit{stale}, start()); err != nil {
					k.Error(err)
				}
				return
			}
			request := service.SeekRequest{Consumer: c.ID, Offset: offset}
			sought, err := k.Seek(k.Context(), request, start())
			if err != nil {
				k.Error(err)
			}
			c = sought
		})
		equal(k, "consumer after a seek", k.consumerNow(c.ID), c)
		equal(k, "position", c.Offset, offset)
	})
}

// deleteMeetsAppend requires that an append either came before the delete, and is gone with all
// else, or after it, and is refused; and that neither a register nor an append brings rows back.
func deleteMeetsAppend(k *kit) {
	other := k.topic("other")
	q := k.producer(other.Name, "q")
	sent := 0
	rounds(6, 200, func(round int) {
		sent++
		s := k.settle("a")
		var late service.Consumer
		together(4, func(i int) {
			switch i {
			case 0:
				if err := k.DeleteTopic(k.Context(), s.head.Name, start()); err != nil {
					k.Error(err)
				}
			case 1:
				group := []service.AppendRequest{sendSeq(s.named, 2, "x"), sendSeq(q, int64(round), "q")}
				plan, err := k.Append(k.Context(), group, start())
				if err != nil || plan.Results[1].Err != nil {
					k.Errorf("a group with a deleted topic: %+v, %v", plan.Results, err)
				}
			case 2:
				answer := k.answer(as("other name", send(s.anonymous, "x")))
				if !strings.HasPrefix(answer, "-@") && answer != "topic_not_found" {
					k.Errorf("got %s", answer)
				}
			case 3:
				var err error
				late, _, err = k.RegisterConsumer(k.Context(), service.ConsumerRegistration{Topic: s.head.Name, Name: "late"})
				if got := refusal(err); got != "ok" && got != "topic_not_found" {
					k.Errorf("got %v", err)
				}
			}
		})
		k.gone(s)
		found, err := k.Consumers(k.Context(), []service.ConsumerID{late.ID})
		k.ok(err)
		equal(k, "consumers registered at last", found, nil)
		equal(k, "names", k.list("a", "", 10), nil)
		head := k.topic("a")
		equal(k, "head", k.head(head.Name), head)
		k.holds(head.Name)
		k.ok(k.DeleteTopic(k.Context(), head.Name, start()))
	})
	equal(k, "messages of the other topic", len(k.log(other.Name)), sent)
	k.sweep(100)
}

// racingDeletes deletes a topic twice while consumers register on it.
func racingDeletes(k *kit) {
	rounds(4, 1000, func(int) {
		head := k.topic("a")
		var deletes atomic.Int64
		var late [2]service.Consumer
		together(4, func(i int) {
			var err error
			if i < 2 {
				if err = k.DeleteTopic(k.Context(), head.Name, start()); err == nil {
					deletes.Add(1)
				}
			} else {
				late[i-2], _, err = k.RegisterConsumer(k.Context(), service.ConsumerRegistration{Topic: head.Name})
			}
			if got := refusal(err); got != "ok" && got != "topic_not_found" {
				k.Errorf("got %v", err)
			}
		})
		equal(k, "deletes that were done", deletes.Load(), 1)
		found, err := k.Consumers(k.Context(), []service.ConsumerID{late[0].ID, late[1].ID})
		k.ok(err)
		equal(k, "consumers of the deleted topic", found, nil)
	})
	k.sweep(100)
}

// registerMeetsDelete requires that a producer that was registered exists as long as its topic.
func registerMeetsDelete(k *kit) {
	rounds(6, 200, func(round int) {
		k.topic("a")
		together(3, func(i int) {
			if i == 0 {
				if err := k.DeleteTopic(k.Context(), k.name("a"), start()); err != nil {
					k.Error(err)
				}
				return
			}
			name := fmt.Sprintf("p%d", i)
			row, head, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
				Topic: k.newTopic("a"), Name: name,
			})
			if err != nil {
				k.Error(err)
				return
			}
			if row.Topic != head.ID {
				k.Errorf("round %d: a producer of topic %d was answered with topic %d", round, row.Topic, head.ID)
			}
			heads, err := k.Heads(k.Context(), []service.TopicName{k.name("a")})
			if err != nil {
				k.Error(err)
				return
			}
			if len(heads) == 1 && heads[0].ID == head.ID {
				if answer := k.answer(sendSeq(row, 0, "x")); answer != "topic_not_found" && !strings.HasPrefix(answer, "0@") {
					k.Errorf("round %d: got %s", round, answer)
				}
			}
		})
		heads, err := k.Heads(k.Context(), []service.TopicName{k.name("a")})
		k.ok(err)
		if len(heads) == 1 {
			k.log(k.name("a"))
			k.ok(k.DeleteTopic(k.Context(), k.name("a"), start()))
		}
	})
}
