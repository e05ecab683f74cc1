package memory

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/topiq/topiq/service"
)

// producer is the row of a producer with what was stored under its seqs.
type producer struct {
	row service.Producer
	// sent[i] is the offset of seq NextSeq − len(sent) + i: those that Trim has left. It grows
	// with seq, because a producer's messages are stored in the order of their seqs.
	sent []service.Offset
	// used is when an anonymous producer was used last, about.
	used time.Time
	// maker is the token that it is counted for, "" for none.
	maker string
}

func (p *producer) offset(seq int64) (service.Offset, bool) {
	i := seq - (p.row.NextSeq - int64(len(p.sent)))
	if i < 0 || i >= int64(len(p.sent)) {
		return 0, false
	}
	return p.sent[i], true
}

func (p *producer) forgetBelow(first service.Offset) {
	i, _ := slices.BinarySearch(p.sent, first)
	p.sent = slices.Delete(p.sent, 0, i)
}

// registered tells producers from the rows of names that only count messages.
func registered(row service.Producer) bool { return row.Name == "" || row.Epoch > 0 }

// add makes a producer. The topic's write lock is held.
func (s *Store) add(t *topic, name string, at time.Time) *producer {
	p := &producer{used: stored(at), row: service.Producer{
		ID: service.ProducerID(s.newID(service.BucketOfID(t.id))), Topic: t.id, Name: name, LastOffset: -1,
	}}
	t.producers[p.row.ID] = p
	if name != "" {
		t.named[name] = p
	} else {
		s.anonymous.Store(p.row.ID, t)
	}
	return p
}

// RegisterProducer implements service.ProducerStore.
func (s *Store) RegisterProducer(
	_ context.Context, r service.ProducerRegistration,
) (service.Producer, service.Head, error) {
	by := r.Topic.Maker
	there, release := s.counted(by)
	defer release()
	for {
		if find(&s.names, r.Topic.Name) == nil {
			// Both are asked before either is made.
			err := errors.Join(
				service.CheckRoom(service.QuotaTokenTopics, there.topics, by.Topics),
				service.CheckRoom(service.QuotaTokenProducers, there.producers, by.Producers))
			if err != nil {
				return service.Producer{}, service.Head{}, err
			}
		}
		s.topic(r.Topic)
		t, unlock := hold(&s.names, r.Topic.Name, writeLock)
		if t == nil {
			continue // deleted again meanwhile: its name is free
		}
		defer unlock()
		head := t.head()
		if err := service.CheckOwn(head); err != nil {
			return service.Producer{}, service.Head{}, err
		}
		row, err := s.register(t, r, there)
		if err != nil {
			head = service.Head{}
		}
		return row, head, err
	}
}

func (s *Store) register(t *topic, r service.ProducerRegistration, there made) (service.Producer, error) {
	p := t.named[r.Name]
	if p == nil || !registered(p.row) {
		if err := t.producerRoom(r.Topic.Maker, there); err != nil {
			return service.Producer{}, err
		}
		if p == nil {
			p = s.add(t, r.Name, r.Topic.At)
		}
		p.maker = r.Topic.Maker.TokenID
	}
	if r.Name == "" {
		return p.row, nil
	}
	row, err := service.OpenSession(p.row, r.Instance)
	if err != nil {
		return service.Producer{}, err
	}
	p.row = row
	return row, nil
}

// UnregisterProducer implements service.ProducerStore.
func (s *Store) UnregisterProducer(_ context.Context, name service.TopicName, id service.ProducerID) error {
	t, unlock := hold(&s.names, name, writeLock)
	defer unlock()
	if t == nil {
		return service.ErrTopicNotFound
	}
	if err := service.CheckOwn(t.head()); err != nil {
		return err
	}
	p := t.producers[id]
	switch {
	case p == nil || !registered(p.row):
		return service.ErrProducerNotFound
	case p.row.Name == "":
		delete(t.producers, id)
		s.anonymous.Delete(id)
	default:
		p.row = service.CloseSession(p.row)
	}
	return nil
}

// Producer implements service.ProducerStore.
func (s *Store) Producer(_ context.Context, topic service.TopicName, name string) (service.Producer, error) {
	t, unlock := hold(&s.names, topic, writeLock)
	defer unlock()
	if t == nil {
		return service.Producer{}, service.ErrTopicNotFound
	}
	if err := service.CheckOwn(t.head()); err != nil {
		return service.Producer{}, err
	}
	p := t.named[name]
	if p == nil || !registered(p.row) {
		return service.Producer{}, service.ErrProducerNotFound
	}
	return p.row, nil
}

// ListProducers implements service.ProducerStore.
func (s *Store) ListProducers(
	_ context.Context, topic service.TopicID, after service.ProducerID, limit int,
) ([]service.Producer, error) {
	t, unlock := hold(&s.topics, topic, writeLock)
	defer unlock()
	if t == nil {
		return nil, nil
	}
	var rows []service.Producer
	for id, p := range t.producers {
		if id > after && registered(p.row) {
			rows = append(rows, p.row)
		}
	}
	return page(rows, func(row service.Producer) service.ProducerID { return row.ID }, limit), nil
}

// CountProduced implements service.ProducerStore.
func (s *Store) CountProduced(_ context.Context, name string, topic service.TopicName) (int64, error) {
	if topic != "" {
		t, unlock := hold(&s.names, topic, writeLock)
		defer unlock()
		if t == nil {
			return 0, service.ErrTopicNotFound
		}
		return t.produced(name), nil
	}
	var sum int64
	s.names.Range(func(key, _ any) bool {
		t, unlock := hold(&s.names, key, writeLock)
		defer unlock()
		if t != nil {
			sum += t.produced(name)
		}
		return true
	})
	return sum, nil
}

func (t *topic) produced(name string) int64 {
	if p := t.named[name]; p != nil {
		return p.row.Count
	}
	return 0
}
