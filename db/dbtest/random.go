package dbtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/topiq/topiq/service"
)

// Agree runs random sequences of operations on all stores, each on every store, and requires that
// they answer alike. Ids differ between engines, so they are compared by the order in which a run
// has met them; errors are compared by code and facts. open is as for Run.
//
// A failure prints how to repeat it, and the shortest sequence that rapid has found.
func Agree(t *testing.T, open ...func(t *testing.T) service.Store) {
	t.Helper()
	var stores []service.Store
	for _, open := range open {
		stores = append(stores, open(t))
	}
	var runs atomic.Int64
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, stores, fmt.Sprintf("r%d-", runs.Add(1)))
		w.create(r)
		w.registerProducer(r)
		w.registerConsumer(r)
		r.Repeat(map[string]func(*rapid.T){
			"create":             w.create,
			"delete":             w.delete,
			"registerProducer1":  w.registerProducer,
			"registerProducer2":  w.registerProducer,
			"unregisterProducer": w.unregisterProducer,
			"append1":            w.append, // thrice, for it is what matters most
			"append2":            w.append,
			"append3":            w.append,
			"read":               w.read,
			"trim":               w.trim,
			"sweep":              w.sweep,
			"registerConsumer":   w.registerConsumer,
			"unregisterConsumer": w.unregisterConsumer,
			"move1":              w.move,
			"move2":              w.move,
			"seek":               w.seek,
			"commit":             w.commit,
			"look":               w.look,
			"setRetention":       w.setRetention,
			"findExcess":         w.findExcess,
			"touch":              w.touch,
			"forget":             w.forget,
		})
		w.compareAll(r)
	})
}

// world is what one run knows of the stores: enough to ask for things that exist, existed, or
// nearly fit. Topics that were deleted and clients that were unregistered stay in it.
type world struct {
	test      *testing.T
	stores    []service.Store
	prefix    string
	met       []map[string]int64 // for each store: "kind id" → its number in this run
	topics    []*life
	producers []*client
	consumers []*client
	nextSeq   map[string]int64 // "topic name" → about what comes next
}

// life is one life of a topic.
type life struct {
	name        service.TopicName
	incarnation string
	ids         []int64 // in each store
	next        service.Offset
}

// client is a session of a producer, or a consumer.
type client struct {
	of     *life
	name   string
	ids    []int64 // in each store
	epoch  int64
	seekNo int64
}

func newWorld(t *testing.T, stores []service.Store, prefix string) *world {
	t.Helper()
	w := &world{test: t, stores: stores, prefix: prefix, nextSeq: map[string]int64{}}
	for range stores {
		w.met = append(w.met, map[string]int64{})
	}
	return w
}

// ask asks every store, all at once, and requires that the answers are the same when plain has
// taken out of them what is the store's own. It returns the answers, and whether they were no
// refusals.
func ask[A any](
	r *rapid.T, w *world, what string,
	call func(i int, s service.Store) (A, error), plain func(i int, a A) any,
) (answers []A, ok bool) {
	r.Helper()
	answers = make([]A, len(w.stores))
	errs := make([]error, len(w.stores))
	var asked sync.WaitGroup
	for i, s := range w.stores {
		asked.Go(func() { answers[i], errs[i] = call(i, s) })
	}
	asked.Wait()
	seen := make([]any, len(w.stores))
	for i, s := range w.stores {
		if errs[i] == nil {
			seen[i] = plain(i, answers[i])
		}
		first, engine := w.stores[0].Properties().Engine, s.Properties().Engine
		if refusal(errs[i]) != refusal(errs[0]) {
			r.Fatalf("%s: %s answers %v, %s answers %v", what, first, errs[0], engine, errs[i])
		}
		if diff := cmp.Diff(seen[0], seen[i], cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("%s: %s (−) and %s (+) differ:\n%s", what, first, engine, diff)
		}
	}
	return answers, errs[0] == nil
}

// number replaces an id by its number in this run.
func (w *world) number(i int, kind string, id int64) int64 {
	key := fmt.Sprint(kind, id)
	n, ok := w.met[i][key]
	if !ok {
		n = int64(len(w.met[i]) + 1)
		w.met[i][key] = n
	}
	return n
}

func (w *world) plainHead(i int, h service.Head) service.Head {
	h.ID = service.TopicID(w.number(i, "topic", int64(h.ID)))
	return h
}

func (w *world) plainProducer(i int, p service.Producer) service.Producer {
	p.ID = service.ProducerID(w.number(i, "producer", int64(p.ID)))
	p.Topic = service.TopicID(w.number(i, "topic", int64(p.Topic)))
	return p
}

func (w *world) plainConsumer(i int, c service.Consumer) service.Consumer {
	c.ID = service.ConsumerID(w.number(i, "consumer", int64(c.ID)))
	c.Topic = service.TopicID(w.number(i, "topic", int64(c.Topic)))
	return c
}

// plainMessages writes messages as text, because an engine may give back no bytes as nil or empty.
func plainMessages(_ int, messages []service.Message) any {
	var texts []string
	for i := range messages {
		m := &messages[i]
		texts = append(texts, fmt.Sprintf("%d: %q %t %q by %q, seq %d, at %v",
			m.Offset, m.Bytes, m.Binary, m.Headers.Encode(), m.ProdName, m.Seq, m.CreatedAt))
	}
	return texts
}

// draw picks a value; values that stand first are drawn more often.
func draw[V any](r *rapid.T, what string, values ...V) V {
	return values[rapid.IntRange(0, len(values)-1).Draw(r, what)]
}

// seldom is true about once in eight times.
func seldom(r *rapid.T, what string) bool { return rapid.IntRange(0, 7).Draw(r, what) == 7 }

func (w *world) aTopic(r *rapid.T) *life        { return draw(r, "topic", w.topics...) }
func (w *world) aProducer(r *rapid.T) *client   { return draw(r, "producer", w.producers...) }
func (w *world) aConsumer(r *rapid.T) *client   { return draw(r, "consumer", w.consumers...) }
func (l *life) id(i int) service.TopicID        { return service.TopicID(l.ids[i]) }
func (c *client) prod(i int) service.ProducerID { return service.ProducerID(c.ids[i]) }
func (c *client) cons(i int) service.ConsumerID { return service.ConsumerID(c.ids[i]) }

// around draws an offset near the end or the beginning of a topic.
func (l *life) around(r *rapid.T, what string) service.Offset {
	n := service.Offset(rapid.IntRange(-1, 12).Draw(r, what))
	if rapid.Bool().Draw(r, what+" from the end") {
		return l.next + 2 - n
	}
	return n
}

// collect gathers the ids that the stores answered.
func collect[A any, K ~int64](answers []A, id func(A) K) []int64 {
	var ids []int64
	for _, a := range answers {
		ids = append(ids, int64(id(a)))
	}
	return ids
}
