package dbtest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/topiq/topiq/service"
)

// trim trims, mostly for nobody, else for consumers that may not be there.
func (w *world) trim(r *rapid.T) {
	topic := w.aTopic(r)
	before := topic.around(r, "before")
	overruled := seldom(r, "by another retention")
	ask(r, w, "trim", func(i int, s service.Store) (service.Head, error) {
		decidedBy, err := s.Retention(w.test.Context(), topic.id(i))
		if err != nil {
			return service.Head{}, err
		}
		if overruled {
			decidedBy.MaxMessages++
		}
		return s.Trim(w.test.Context(), topic.id(i), before, decidedBy)
	}, func(i int, h service.Head) any { return w.plainHead(i, h) })
}

// retainedHead is a retention with the head of its topic.
type retainedHead struct {
	service.Retention
	head service.Head
}

func (w *world) setRetention(r *rapid.T) {
	topic := w.aTopic(r)
	change := service.RetentionChange{
		MaxAge:      draw(r, "max_age", nil, new(time.Duration(0)), new(time.Hour)),
		MaxBytes:    draw(r, "max_bytes", nil, new(int64(0)), new(int64(9))),
		MaxMessages: draw(r, "max_messages", nil, new(int64(0)), new(int64(service.MaxInteger))),
		KeepFor:     draw(r, "keep_for", nil, new([]string{}), new([]string{"b", "a", "b"})),
	}
	ask(r, w, "set retention", func(_ int, s service.Store) (retainedHead, error) {
		head, now, err := s.SetRetention(w.test.Context(), topic.name, change)
		return retainedHead{now, head}, err
	}, func(i int, a retainedHead) any { return []any{a.Retention, w.plainHead(i, a.head)} })
	ask(r, w, "retention", func(i int, s service.Store) (service.Retention, error) {
		return s.Retention(w.test.Context(), topic.id(i))
	}, func(_ int, a service.Retention) any { return a })
}

func (w *world) findExcess(r *rapid.T) {
	topic := w.aTopic(r)
	from := topic.around(r, "from")
	bytes, limit := int64(rapid.IntRange(-1, 30).Draw(r, "bytes")), rapid.IntRange(1, 8).Draw(r, "limit")
	ask(r, w, "find excess", func(i int, s service.Store) (service.Offset, error) {
		return s.FindExcess(w.test.Context(), topic.id(i), from, bytes, limit)
	}, func(_ int, offset service.Offset) any { return offset })
}

func (w *world) touch(r *rapid.T) {
	p, c, at := w.aProducer(r), w.aConsumer(r), clock(r)
	ask(r, w, "touch", func(i int, s service.Store) (any, error) {
		return nil, s.Touch(w.test.Context(), []service.ProducerID{p.prod(i)}, []service.ConsumerID{c.cons(i)}, at)
	}, func(int, any) any { return nil })
}

// forget forgets seldom, or else most sequences would have nobody left to ask with. How many went is not
// compared: where a deleted topic is swept later, its rows may be among them.
func (w *world) forget(r *rapid.T) {
	at := clock(r)
	if !seldom(r, "forget them") {
		return
	}
	ask(r, w, "forget unused", func(_ int, s service.Store) (int, error) {
		return s.ForgetUnused(w.test.Context(), at, 1_000_000)
	}, func(int, int) any { return nil })
}
