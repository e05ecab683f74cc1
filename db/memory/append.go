package memory

import (
	"context"
	"time"

	"github.com/topiq/topiq/service"
)

// Append implements service.MessageStore.
func (s *Store) Append(
	_ context.Context, requests []service.AppendRequest, now time.Time,
) (service.AppendPlan, error) {
	topics := map[service.TopicID]*topic{}
	for i := range requests {
		if t := find(&s.topics, requests[i].Topic); t != nil {
			topics[t.id] = t
		}
	}
	defer lock(topics, writeLock)()
	read := state(topics, requests)
	if err := service.CheckDatabase(read.Heads); err != nil {
		return service.AppendPlan{}, err
	}
	plan := service.PlanAppend(requests, read, now)
	for i := range plan.Producers {
		s.advance(topics[plan.Producers[i].Topic], &plan.Producers[i], now)
	}
	for i := range plan.Topics {
		topics[plan.Topics[i].Head.ID].extend(&plan.Topics[i])
	}
	return plan, nil
}

// state reads what a group is decided on. The topics' write locks are held.
func state(topics map[service.TopicID]*topic, requests []service.AppendRequest) service.AppendState {
	read := service.AppendState{
		Heads:     make(map[service.TopicID]service.Head, len(topics)),
		Producers: make(map[service.ProducerID]*service.Producer, len(requests)),
		Named:     make(map[service.NamedProducer]*service.Producer, len(requests)),
	}
	for id, t := range topics {
		if !t.deleted {
			read.Heads[id] = t.head()
		}
	}
	for i := range requests {
		r := &requests[i]
		t := topics[r.Topic]
		if t == nil {
			continue
		}
		if p := t.producers[r.Producer]; p != nil {
			read.Producers[r.Producer] = &p.row
		}
		name := r.ProducerName(read.Producers[r.Producer])
		if p := t.named[name]; p != nil {
			read.Named[service.NamedProducer{Topic: r.Topic, Name: name}] = &p.row
		}
	}
	duplicates := read.Duplicates(requests)
	read.Stored = make(map[service.SeqKey]service.Message, len(duplicates))
	for _, key := range duplicates {
		t := topics[key.Topic]
		if offset, ok := t.named[key.Name].offset(key.Seq); ok {
			v := t.view.Load()
			read.Stored[key] = *v.log.at(int(offset - v.head.First))
		}
	}
	return read
}

func (s *Store) advance(t *topic, to *service.ProducerAdvance, now time.Time) {
	p := t.named[to.Name]
	if p == nil {
		p = s.add(t, to.Name, now)
	}
	p.row.NextSeq, p.row.LastOffset = to.NextSeq, to.LastOffset
	p.row.Count += to.AddCount
}

// extend publishes new messages and the head behind them at once.
func (t *topic) extend(by *service.TopicAppend) {
	for i := range by.Messages {
		if m := &by.Messages[i]; m.Seq != service.NoSeq {
			p := t.named[m.ProdName]
			p.sent = append(p.sent, m.Offset)
		}
	}
	t.view.Store(&view{head: by.Head, log: t.view.Load().log.extended(by.Messages)})
}

// Trim implements service.MessageStore.
func (s *Store) Trim(
	_ context.Context, id service.TopicID, before service.Offset, decidedBy ...service.Retention,
) (service.Head, error) {
	t, unlock := hold(&s.topics, id, writeLock)
	defer unlock()
	if t == nil {
		return service.Head{}, service.ErrTopicNotFound
	}
	t.seek.Lock() // nobody goes back
	defer t.seek.Unlock()
	rest := *t.view.Load()
	if service.Overruled(decidedBy, t.retention) {
		return rest.head, nil
	}
	cut := int(service.PlanTrim(before, rest.head, decidedBy, t.keepers(service.KeptFor(decidedBy))) - rest.head.First)
	for i := range cut {
		rest.head.Bytes -= rest.log.at(i).Size()
	}
	rest.head.First += service.Offset(cut)
	rest.log = rest.log.without(cut)
	t.view.Store(&rest)
	for _, p := range t.named {
		p.forgetBelow(rest.head.First)
	}
	return rest.head, nil
}
