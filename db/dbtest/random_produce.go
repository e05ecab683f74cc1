package dbtest

import (
	"fmt"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/topiq/topiq/service"
)

// clock draws a time; it may go back.
func clock(r *rapid.T) time.Time {
	return after(time.Duration(rapid.IntRange(0, 5).Draw(r, "seconds")) * time.Second)
}

func (w *world) newTopic(r *rapid.T) service.NewTopic {
	name := service.TopicName(w.prefix + draw(r, "name", "a", "a", "a", "A", "b_"))
	return service.NewTopic{Name: name, Incarnation: fmt.Sprint("inc", len(w.topics)), At: clock(r)}
}

// meet notes a topic that the stores have answered, if it is a new one.
func (w *world) meet(heads []service.Head) *life {
	for _, l := range w.topics {
		if l.id(0) == heads[0].ID {
			return l
		}
	}
	l := &life{
		name: heads[0].Name, incarnation: heads[0].Incarnation,
		ids: collect(heads, topicID), next: heads[0].Next,
	}
	w.topics = append(w.topics, l)
	return l
}

func (w *world) create(r *rapid.T) {
	topic := w.newTopic(r)
	heads, ok := ask(r, w, "create", func(_ int, s service.Store) (service.Head, error) {
		return s.CreateTopic(w.test.Context(), topic)
	}, func(i int, h service.Head) any { return w.plainHead(i, h) })
	if ok {
		w.meet(heads)
	}
}

func (w *world) delete(r *rapid.T) {
	topic := w.newTopic(r)
	if !seldom(r, "delete it") {
		return // or else most sequences would end with nothing to look at
	}
	ask(r, w, "delete", func(_ int, s service.Store) (any, error) {
		return nil, s.DeleteTopic(w.test.Context(), topic.Name, topic.At)
	}, func(int, any) any { return nil })
}

// registered is a producer with the head of its topic.
type registered struct {
	service.Producer
	head service.Head
}

func (w *world) registerProducer(r *rapid.T) {
	request := service.ProducerRegistration{Topic: w.newTopic(r), Name: draw(r, "prod_name", "p", "p", "", "q")}
	if request.Name != "" {
		request.Name = w.prefix + request.Name
		request.Instance = draw(r, "instance", "one", "two", "")
	}
	rows, ok := ask(r, w, "register producer", func(_ int, s service.Store) (registered, error) {
		row, head, err := s.RegisterProducer(w.test.Context(), request)
		return registered{row, head}, err
	}, func(i int, a registered) any {
		return []any{w.plainProducer(i, a.Producer), w.plainHead(i, a.head)}
	})
	if !ok {
		return
	}
	var heads []service.Head
	for i := range rows {
		heads = append(heads, rows[i].head)
	}
	w.producers = append(w.producers, &client{
		of: w.meet(heads), name: rows[0].Name, epoch: rows[0].Epoch,
		ids: collect(rows, func(a registered) service.ProducerID { return a.ID }),
	})
}

func (w *world) unregisterProducer(r *rapid.T) {
	p, topic := w.aProducer(r), w.aTopic(r)
	if !seldom(r, "any topic") {
		topic = p.of
	}
	ask(r, w, "unregister producer", func(i int, s service.Store) (any, error) {
		return nil, s.UnregisterProducer(w.test.Context(), topic.name, p.prod(i))
	}, func(int, any) any { return nil })
}

// request draws a produce request, and returns it with the key of its next seq.
func (w *world) request(r *rapid.T) (ask service.AppendRequest, p *client, topic *life, key string) {
	p = w.aProducer(r)
	topic = p.of
	if seldom(r, "any topic") {
		topic = w.aTopic(r)
	}
	if p.name == "" {
		ask.ProdName = draw(r, "prod_name", "", w.prefix+"p", w.prefix+"q")
	} else {
		ask.ProdName = draw(r, "prod_name", "", p.name, w.prefix+"q")
	}
	name := p.name
	if name == "" {
		name = ask.ProdName
	}
	key = fmt.Sprint(topic.ids[0], name)
	ask.Seq = service.NoSeq
	if rapid.IntRange(0, 4).Draw(r, "without seq") < 4 {
		ask.Seq = max(0, w.nextSeq[key]+int64(draw(r, "seq", 0, 0, 0, -1, -2, -3, 1, -20)))
	}
	if rapid.Bool().Draw(r, "with epoch") {
		epoch := p.epoch + int64(draw(r, "epoch", 0, 0, 0, -1, 1))
		ask.Epoch = &epoch
	}
	if seldom(r, "with expected_offset") {
		next := max(0, topic.next+service.Offset(draw(r, "expected_offset", 0, 0, 1, -1)))
		ask.ExpectedOffset = &next
	}
	ask.Again = ask.Seq != service.NoSeq && seldom(r, "again")
	ask.Incarnation = draw(r, "incarnation", "", topic.incarnation, "inc99")
	for i := range rapid.IntRange(1, 4).Draw(r, "messages") {
		ask.Payloads = append(ask.Payloads, payload(r, ask.Seq, i))
	}
	return ask, p, topic, key
}

// payload draws a message. Under one seq it is mostly the same one, so that there are repeats.
func payload(r *rapid.T, first int64, i int) service.Payload {
	if seq := first + int64(i); first != service.NoSeq && !seldom(r, "another message") {
		p := service.Payload{Bytes: fmt.Append(nil, "m", seq), Binary: seq%3 == 0}
		if seq%4 == 0 {
			p.Headers = service.Headers{"k": strconv.FormatInt(seq, 10), "traceparent": draw(r, "span", "1", "2")}
		}
		return p
	}
	return service.Payload{
		Bytes:   rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(r, "bytes"),
		Binary:  rapid.Bool().Draw(r, "binary"),
		Headers: draw(r, "headers", nil, service.Headers{}, service.Headers{"a": "\x00"}, service.Headers{"": "<&>"}),
	}
}

func (w *world) append(r *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(r, "requests")
	groups := make([][]service.AppendRequest, len(w.stores))
	topics, keys := make([]*life, n), make([]string, n)
	for at := range n {
		request, p, topic, key := w.request(r)
		topics[at], keys[at] = topic, key
		for i := range groups {
			request.Topic, request.Producer = topic.id(i), p.prod(i)
			groups[i] = append(groups[i], request)
		}
	}
	now := clock(r)
	plans, _ := ask(r, w, "append", func(i int, s service.Store) (service.AppendPlan, error) {
		return s.Append(w.test.Context(), groups[i], now)
	}, func(_ int, plan service.AppendPlan) any {
		var texts []string
		for at := range plan.Results {
			texts = append(texts, describe(&plan.Results[at])+" "+plan.Results[at].Incarnation)
		}
		return texts
	})
	for at, result := range plans[0].Results {
		for _, run := range result.Ranges {
			topics[at].next = max(topics[at].next, run.Offset+service.Offset(run.Count))
			if run.Seq != service.NoSeq {
				w.nextSeq[keys[at]] = max(w.nextSeq[keys[at]], run.Seq+int64(run.Count))
			}
		}
	}
}

func (w *world) read(r *rapid.T) {
	topic := w.aTopic(r)
	from, limit := topic.around(r, "from"), rapid.IntRange(1, 8).Draw(r, "limit")
	maxBytes := int64(rapid.IntRange(0, 40).Draw(r, "max_bytes"))
	ask(r, w, "read", func(i int, s service.Store) ([]service.Message, error) {
		return s.Read(w.test.Context(), topic.id(i), from, limit, maxBytes)
	}, plainMessages)
	at := clock(r)
	ask(r, w, "find time", func(i int, s service.Store) (service.Offset, error) {
		return s.FindTime(w.test.Context(), topic.id(i), at)
	}, func(_ int, offset service.Offset) any { return offset })
}

// sweep is not compared: how much an engine leaves behind is its own affair.
func (w *world) sweep(r *rapid.T) {
	for _, s := range w.stores {
		if _, err := s.Sweep(w.test.Context(), 5); err != nil {
			r.Fatalf("sweep: %v", err)
		}
	}
}
