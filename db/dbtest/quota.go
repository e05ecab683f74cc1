package dbtest

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/topiq/topiq/service"
)

func quotaTests() []test {
	return []test{
		{"TopicHasNoQuotaUnlessTold", noQuota},
		{"ChangesOnlyTheQuotaThatIsSaid", changesQuota},
		{"CreatedWithQuota", createdWithQuota},
		{"QuotaOfAMissingTopicIsRefused", quotaMissing},
		{"QuotaOfAForeignTopicIsRefused", quotaForeign},
		{"FullTopicRefusesNewMessages", fullTopic},
		{"FullTopicAnswersRepeats", fullTopicRepeats},
		{"GroupFillsATopicTogether", fullByGroup},
		{"TopicQuotaOfProducers", topicProducers},
		{"TopicQuotaOfConsumers", topicConsumers},
		{"TokenKeepsItsQuota", tokenQuotaKept},
		{"TokenQuotaOfTopics", tokenTopics},
		{"TokenQuotaOfProducers", tokenProducers},
		{"TokenQuotaOfConsumers", tokenConsumers},
		{"NameThatOnlyCountedIsRegisteredForTheToken", tokenCountsLateName},
		{"RefusedRegisterCreatesNoTopic", refusedCreatesNothing},
		{"TokenQuotasHoldInARace", tokenQuotaRace},
		{"TopicQuotasHoldInARace", topicQuotaRace},
	}
}

func noQuota(k *kit) { equal(k, "quota", k.topic("a").Quota, service.TopicQuota{}) }

func changesQuota(k *kit) {
	head := k.topic("a")
	for _, row := range []struct {
		change service.QuotaChange
		want   service.TopicQuota
	}{
		{service.QuotaChange{StoredBytes: new(int64(7))}, service.TopicQuota{StoredBytes: 7}},
		{service.QuotaChange{BytesPerSecond: new(int64(service.MaxInteger))}, service.TopicQuota{StoredBytes: 7, BytesPerSecond: service.MaxInteger}},
		{
			service.QuotaChange{StoredBytes: new(int64(0)), Producers: new(int64(1)), Consumers: new(int64(2))},
			service.TopicQuota{BytesPerSecond: service.MaxInteger, Producers: 1, Consumers: 2},
		},
		{service.QuotaChange{BytesPerSecond: new(int64(0)), Producers: new(int64(0))}, service.TopicQuota{Consumers: 2}},
		{service.QuotaChange{Consumers: new(int64(2))}, service.TopicQuota{Consumers: 2}},
		{service.QuotaChange{Consumers: new(int64(0))}, service.TopicQuota{}},
	} {
		got, err := k.SetQuota(k.Context(), head.Name, row.change)
		k.ok(err)
		head.Quota = row.want
		equal(k, "answer", got, head)
		equal(k, "head read", k.head(head.Name), head)
	}
}

func createdWithQuota(k *kit) {
	topic := k.newTopic("a")
	topic.Quota = service.TopicQuota{BytesPerSecond: 1, StoredBytes: 2, Producers: 3, Consumers: 4}
	head, err := k.CreateTopic(k.Context(), topic)
	k.ok(err)
	equal(k, "quota", head.Quota, topic.Quota)
	equal(k, "head read", k.head(topic.Name), head)
	topic.Name = k.name("b")
	_, head, err = k.RegisterProducer(k.Context(), service.ProducerRegistration{Topic: topic})
	k.ok(err)
	equal(k, "quota of a topic made by a register", head.Quota, topic.Quota)
	equal(k, "head read", k.head(topic.Name), head)
	k.append(send(k.producer(topic.Name, ""), "x"))
	equal(k, "quota after an append", k.head(topic.Name).Quota, topic.Quota)
}

func quotaMissing(k *kit) {
	_, err := k.SetQuota(k.Context(), k.name("none"), service.QuotaChange{StoredBytes: new(int64(1))})
	k.refused(err, "topic_not_found")
}

func quotaForeign(k *kit) {
	head := k.topic("a")
	k.estrange(head.Name)
	_, err := k.SetQuota(k.Context(), head.Name, service.QuotaChange{StoredBytes: new(int64(1))})
	k.refused(err, "unavailable")
	equal(k, "quota", k.head(head.Name).Quota, service.TopicQuota{})
}

// limited creates a topic with a quota.
func (k *kit) limited(suffix string, quota service.TopicQuota) service.Head {
	k.Helper()
	topic := k.newTopic(suffix)
	topic.Quota = quota
	head, err := k.CreateTopic(k.Context(), topic)
	k.ok(err)
	return head
}

const full = "rate_limited quota=topic_stored_bytes"

func fullTopic(k *kit) {
	head := k.limited("a", service.TopicQuota{StoredBytes: 10})
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "1234567")), "0@0*1")
	k.answers(k.append(sendSeq(p, 1, "1234")), full)
	k.answers(k.append(sendSeq(p, 1, "12", "34")), full)
	withHeaders := sendSeq(p, 1, "1")
	withHeaders.Payloads[0].Headers = service.Headers{"a": "bc"}
	k.answers(k.append(withHeaders), full)
	k.answers(k.append(sendSeq(p, 1, "123")), "1@1*1")
	k.answers(k.append(sendSeq(p, 2, "")), "2@2*1") // takes no room
	k.answers(k.append(sendSeq(p, 3, "x")), full)
	k.holds(head.Name, "1234567", "123", "")
	// What goes makes room, and so does a larger quota.
	_, err := k.Trim(k.Context(), head.ID, 1)
	k.ok(err)
	k.answers(k.append(sendSeq(p, 3, "1234567")), "3@3*1")
	k.answers(k.append(sendSeq(p, 4, "x")), full)
	_, err = k.SetQuota(k.Context(), head.Name, service.QuotaChange{StoredBytes: new(int64(11))})
	k.ok(err)
	k.answers(k.append(sendSeq(p, 4, "x")), "4@4*1")
	_, err = k.SetQuota(k.Context(), head.Name, service.QuotaChange{StoredBytes: new(int64(0))})
	k.ok(err)
	k.answers(k.append(sendSeq(p, 5, strings.Repeat("x", 100))), "5@5*1")
}

func fullTopicRepeats(k *kit) {
	head := k.topic("a")
	p := k.producer(head.Name, "p")
	k.answers(k.append(sendSeq(p, 0, "a", "b", "c")), "0@0*3")
	_, err := k.SetQuota(k.Context(), head.Name, service.QuotaChange{StoredBytes: new(int64(1))})
	k.ok(err)
	k.answers(k.append(sendSeq(p, 0, "a", "b", "c")), "0@0*3 dup")
	k.answers(k.append(sendSeq(p, 1, "b", "c")), "1@1*2 dup")
	k.answers(k.append(sendSeq(p, 2, "c", "d")), full)
	k.answers(k.append(sendSeq(p, 2, "d")), "seq_reused seq=2")
	k.answers(k.append(sendSeq(p, 4, "e")), "seq_gap expected_seq=3")
	again := sendSeq(p, 0, "a", "b")
	again.Again = true
	k.answers(k.append(again), "0@0*2")
	again = sendSeq(p, 3, "d")
	again.Again = true
	k.answers(k.append(again), full)
	k.holds(head.Name, "a", "b", "c")
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "next_seq", row.NextSeq, 3)
}

func fullByGroup(k *kit) {
	head, other := k.limited("a", service.TopicQuota{StoredBytes: 3}), k.topic("b")
	p, q := k.producer(head.Name, ""), k.producer(other.Name, "")
	k.answers(k.append(send(p, "ab"), send(q, "free"), send(p, "cd"), send(p, "e"), send(p, "f"), send(q, "free")),
		"-@0*1", "-@0*1", full, "-@1*1", full, "-@1*1")
	k.holds(head.Name, "ab", "e")
}

// registerBy registers a producer on a topic for a token.
func (k *kit) registerBy(by service.Maker, topic service.TopicName, name string) error {
	_, _, err := k.RegisterProducer(k.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: topic, Incarnation: "inc-" + string(topic), At: start(), Maker: by}, Name: name,
	})
	return err
}

func (k *kit) consumeBy(by service.Maker, topic service.TopicName, name string) error {
	_, _, err := k.RegisterConsumer(k.Context(), service.ConsumerRegistration{
		Topic: topic, Name: name, At: start(), Maker: by,
	})
	return err
}

func topicProducers(k *kit) {
	const refused = "rate_limited quota=topic_producers"
	head := k.limited("a", service.TopicQuota{Producers: 2})
	nobody := service.Maker{}
	k.ok(k.registerBy(nobody, head.Name, "p"))
	anonymous := k.producer(head.Name, "")
	k.refused(k.registerBy(nobody, head.Name, ""), refused)
	k.refused(k.registerBy(nobody, head.Name, "q"), refused)
	k.ok(k.registerBy(nobody, head.Name, "p")) // another session of one that is there
	k.append(as("counted", send(anonymous, "x")))
	k.refused(k.registerBy(nobody, head.Name, "counted"), refused)
	producers, _, err := k.CountClients(k.Context(), head.ID)
	k.ok(err)
	equal(k, "producers", producers, 2)
	k.ok(k.UnregisterProducer(k.Context(), head.Name, anonymous.ID))
	k.ok(k.registerBy(nobody, head.Name, "counted"))
	k.refused(k.registerBy(nobody, head.Name, ""), refused)
}

func topicConsumers(k *kit) {
	const refused = "rate_limited quota=topic_consumers"
	head := k.limited("c", service.TopicQuota{Consumers: 2})
	nobody := service.Maker{}
	k.ok(k.consumeBy(nobody, head.Name, "c"))
	anonymous := k.consumer(head.Name, "", 0)
	k.refused(k.consumeBy(nobody, head.Name, ""), refused)
	k.refused(k.consumeBy(nobody, head.Name, "d"), refused)
	k.ok(k.consumeBy(nobody, head.Name, "c"))
	k.ok(k.UnregisterConsumer(k.Context(), head.Name, anonymous.ID))
	k.ok(k.consumeBy(nobody, head.Name, "d"))
	k.refused(k.consumeBy(nobody, head.Name, ""), refused)
}

func tokenQuotaKept(k *kit) {
	token := k.token("a")
	token.Quota = service.TokenQuota{BytesPerSecond: 1, Topics: 2, TopicStoredBytes: 3, Producers: 4, Consumers: service.MaxInteger}
	k.ok(k.CreateToken(k.Context(), token, time.Time{}))
	equal(k, "tokens", k.tokens(), []service.Token{token})
}

// maker makes a token, by which so many of each may be made.
func (k *kit) maker(suffix string, most int64) service.Maker {
	k.Helper()
	token := k.token(suffix)
	k.ok(k.CreateToken(k.Context(), token, time.Time{}))
	return service.Maker{TokenID: token.ID, Topics: most, Producers: most, Consumers: most}
}

func (k *kit) createBy(by service.Maker, suffix string) error {
	topic := k.newTopic(suffix)
	topic.Maker = by
	_, err := k.CreateTopic(k.Context(), topic)
	return err
}

func tokenTopics(k *kit) {
	const refused = "rate_limited quota=token_topics"
	by, other := k.maker("a", 2), k.maker("b", 2)
	k.ok(k.createBy(by, "a"))
	k.topic("free")
	k.ok(k.registerBy(by, k.name("b"), ""))
	k.refused(k.createBy(by, "c"), refused)
	k.refused(k.registerBy(by, k.name("c"), ""), refused)
	k.refused(k.createBy(by, "a"), "topic_exists")
	k.ok(k.registerBy(by, k.name("free"), ""))
	k.ok(k.createBy(other, "c")) // which has a count of its own
	k.ok(k.DeleteTopic(k.Context(), k.name("b"), start()))
	k.ok(k.createBy(by, "d"))
	k.refused(k.createBy(by, "e"), refused)
	by.Topics = 3
	k.ok(k.createBy(by, "e"))
}

func tokenProducers(k *kit) {
	const refused = "rate_limited quota=token_producers"
	by, other := k.maker("a", 2), k.maker("b", 2)
	a, b := k.topic("a"), k.topic("b")
	k.ok(k.registerBy(by, a.Name, "p"))
	k.ok(k.registerBy(by, b.Name, ""))
	k.refused(k.registerBy(by, a.Name, ""), refused)
	k.refused(k.registerBy(by, b.Name, "p"), refused)
	k.ok(k.registerBy(by, a.Name, "p"))
	k.ok(k.registerBy(other, a.Name, "p")) // another session is not another producer
	k.ok(k.registerBy(other, a.Name, "q"))
	k.ok(k.registerBy(other, a.Name, "r"))
	k.refused(k.registerBy(other, a.Name, ""), refused)
	k.ok(k.registerBy(by, a.Name, "q")) // nor is one that somebody else has registered first
	k.ok(k.DeleteTopic(k.Context(), b.Name, start()))
	k.ok(k.registerBy(by, a.Name, ""))
	k.refused(k.registerBy(by, a.Name, ""), refused)
	// A named producer whose session has ended is there as before.
	row, err := k.Producer(k.Context(), a.Name, "p")
	k.ok(err)
	k.ok(k.UnregisterProducer(k.Context(), a.Name, row.ID))
	k.refused(k.registerBy(by, a.Name, ""), refused)
}

func tokenConsumers(k *kit) {
	const refused = "rate_limited quota=token_consumers"
	by, other := k.maker("a", 2), k.maker("b", 2)
	a, b := k.topic("a"), k.topic("b")
	k.ok(k.consumeBy(by, a.Name, "c"))
	k.ok(k.consumeBy(by, b.Name, ""))
	k.refused(k.consumeBy(by, a.Name, ""), refused)
	k.refused(k.consumeBy(by, b.Name, "c"), refused)
	k.ok(k.consumeBy(by, a.Name, "c"))
	k.ok(k.consumeBy(other, a.Name, "c"))
	k.ok(k.consumeBy(other, a.Name, "d"))
	k.ok(k.DeleteTopic(k.Context(), b.Name, start()))
	k.ok(k.consumeBy(by, a.Name, ""))
	k.refused(k.consumeBy(by, a.Name, ""), refused)
	row, err := k.FindConsumer(k.Context(), a.ID, "c")
	k.ok(err)
	k.ok(k.UnregisterConsumer(k.Context(), a.Name, row.ID))
	k.ok(k.consumeBy(by, a.Name, ""))
}

func tokenCountsLateName(k *kit) {
	by := k.maker("a", 1)
	head := k.topic("a")
	k.append(as("p", send(k.producer(head.Name, ""), "x")))
	k.ok(k.registerBy(by, head.Name, "p"))
	k.refused(k.registerBy(by, head.Name, "q"), "rate_limited quota=token_producers")
	row, err := k.Producer(k.Context(), head.Name, "p")
	k.ok(err)
	equal(k, "count", row.Count, 1)
}

func refusedCreatesNothing(k *kit) {
	by := k.maker("a", 5)
	by.Producers = 1
	k.ok(k.registerBy(by, k.name("a"), ""))
	k.refused(k.registerBy(by, k.name("b"), ""), "rate_limited quota=token_producers")
	k.refused(k.registerBy(by, k.name("b"), "p"), "rate_limited quota=token_producers")
	heads, err := k.Heads(k.Context(), []service.TopicName{k.name("b")})
	k.ok(err)
	equal(k, "topics that a refused register left", len(heads), 0)
	by.Producers, by.Topics = 5, 1
	k.refused(k.registerBy(by, k.name("b"), ""), "rate_limited quota=token_topics")
	head := k.head(k.name("a"))
	k.append(as("p", send(k.producer(head.Name, ""), "x")))
	by.Producers = 1
	k.refused(k.registerBy(by, head.Name, "p"), "rate_limited quota=token_producers")
	_, err = k.Producer(k.Context(), head.Name, "p")
	k.refused(err, "producer_not_found")
}

// tokenQuotaRace lets many make something by one token at the same time, on topics of all buckets.
func tokenQuotaRace(k *kit) {
	const racers, tries, most = 6, 5, 7
	by := k.maker("a", most)
	free := k.topic("free")
	var topics, producers, consumers atomic.Int64
	note := func(made *atomic.Int64, err error) {
		switch code := service.CodeOf(err); {
		case err == nil:
			made.Add(1)
		case code != service.CodeRateLimited:
			k.Errorf("%v", err)
		}
	}
	together(racers, func(i int) {
		for try := range tries {
			suffix := strconv.Itoa(i*tries + try)
			note(&topics, k.createBy(by, suffix))
			note(&producers, k.registerBy(by, free.Name, "p"+suffix))
			note(&consumers, k.consumeBy(by, free.Name, ""))
		}
	})
	equal(k, "topics", topics.Load(), most)
	equal(k, "producers", producers.Load(), most)
	equal(k, "consumers", consumers.Load(), most)
}

func topicQuotaRace(k *kit) {
	const racers, tries, most = 6, 5, 7
	head := k.limited("a", service.TopicQuota{Producers: most, Consumers: most, StoredBytes: most})
	writer := k.producer(head.Name, "writer")
	var producers, consumers atomic.Int64
	producers.Add(1)
	together(racers, func(i int) {
		for try := range tries {
			for what, made := range map[*atomic.Int64]error{
				&producers: k.registerBy(service.Maker{}, head.Name, "p"+strconv.Itoa(i*tries+try)),
				&consumers: k.consumeBy(service.Maker{}, head.Name, ""),
			} {
				switch {
				case made == nil:
					what.Add(1)
				case service.CodeOf(made) != service.CodeRateLimited:
					k.Errorf("%v", made)
				}
			}
			if _, err := k.Append(k.Context(), []service.AppendRequest{send(writer, "x")}, start()); err != nil {
				k.Error(err)
			}
		}
	})
	equal(k, "producers", producers.Load(), most)
	equal(k, "consumers", consumers.Load(), most)
	equal(k, "bytes", k.head(head.Name).Bytes, most)
}
