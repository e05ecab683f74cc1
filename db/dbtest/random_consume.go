package dbtest

import (
	"cmp"
	"slices"

	"pgregory.net/rapid"

	"github.com/topiq/topiq/service"
)

// subscribed is a consumer with the head of its topic.
type subscribed struct {
	service.Consumer
	head service.Head
}

func (w *world) registerConsumer(r *rapid.T) {
	topic := w.aTopic(r)
	request := service.ConsumerRegistration{
		Topic: topic.name, Name: draw(r, "cons_name", "c", "", "d"),
		From: draw(r, "start", service.FromBeginning, service.FromEnd, service.Start(topic.around(r, "from"))),
		At:   clock(r),
	}
	rows, ok := ask(r, w, "register consumer", func(_ int, s service.Store) (subscribed, error) {
		row, head, err := s.RegisterConsumer(w.test.Context(), request)
		return subscribed{row, head}, err
	}, func(i int, a subscribed) any {
		return []any{w.plainConsumer(i, a.Consumer), w.plainHead(i, a.head)}
	})
	if !ok {
		if len(w.consumers) == 0 {
			w.consumers = append(w.consumers, &client{of: topic, ids: make([]int64, len(w.stores))})
		}
		return
	}
	var heads []service.Head
	for i := range rows {
		heads = append(heads, rows[i].head)
	}
	w.consumers = append(w.consumers, &client{
		of: w.meet(heads), name: rows[0].Name, seekNo: rows[0].SeekNo,
		ids: collect(rows, func(a subscribed) service.ConsumerID { return a.ID }),
	})
}

func (w *world) unregisterConsumer(r *rapid.T) {
	c, topic := w.aConsumer(r), w.aTopic(r)
	if !seldom(r, "unregister it") {
		return
	}
	ask(r, w, "unregister consumer", func(i int, s service.Store) (any, error) {
		return nil, s.UnregisterConsumer(w.test.Context(), topic.name, c.cons(i))
	}, func(int, any) any { return nil })
}

// pending draws a lazy commit for each store.
func (w *world) pending(r *rapid.T, c *client) func(i int) service.OffsetCommit {
	commit := service.OffsetCommit{
		// A broker commits only what its consumer may have read; beyond the end is refused earlier.
		Offset: min(max(0, c.of.around(r, "pending")), c.of.next),
		SeekNo: c.seekNo + int64(draw(r, "seek_no", 0, 0, -1, 1)),
	}
	return func(i int) service.OffsetCommit {
		commit.Consumer = c.cons(i)
		return commit
	}
}

func (w *world) move(r *rapid.T) {
	groups := make([][]service.MoveRequest, len(w.stores))
	for range rapid.IntRange(1, 4).Draw(r, "requests") {
		c := w.aConsumer(r)
		topic := c.of
		if seldom(r, "any topic") {
			topic = w.aTopic(r)
		}
		request := service.MoveRequest{
			Incarnation: draw(r, "incarnation", "", topic.incarnation, "inc99"),
			Limit:       rapid.IntRange(1, 4).Draw(r, "limit"),
			MaxBytes:    int64(rapid.IntRange(0, 30).Draw(r, "max_bytes")),
		}
		var pending func(i int) service.OffsetCommit
		if seldom(r, "with a pending commit") {
			pending = w.pending(r, c)
		}
		for i := range groups {
			request.Topic, request.Consumer = topic.id(i), c.cons(i)
			if pending != nil {
				commit := pending(i)
				request.Pending = &commit
			}
			groups[i] = append(groups[i], request)
		}
	}
	now := clock(r)
	ask(r, w, "move", func(i int, s service.Store) ([]service.MoveResult, error) {
		return s.Move(w.test.Context(), groups[i], noTail, now)
	}, func(i int, results []service.MoveResult) any {
		var plain []any
		for at := range results {
			result := &results[at]
			plain = append(plain, describeMove(result), plainMessages(i, result.Messages))
			if result.Err == nil {
				plain = append(plain, w.plainConsumer(i, result.Consumer), w.plainHead(i, result.Head))
			}
		}
		return plain
	})
}

func (w *world) seek(r *rapid.T) {
	c := w.aConsumer(r)
	topic := draw(r, "topic of the request", nil, c.of, w.aTopic(r))
	offset, now := c.of.around(r, "offset"), clock(r)
	rows, ok := ask(r, w, "seek", func(i int, s service.Store) (service.Consumer, error) {
		request := service.SeekRequest{Consumer: c.cons(i), Offset: offset}
		if topic != nil {
			request.Topic = topic.id(i)
		}
		return s.Seek(w.test.Context(), request, now)
	}, func(i int, row service.Consumer) any { return w.plainConsumer(i, row) })
	if ok {
		c.seekNo = rows[0].SeekNo
	}
}

func (w *world) commit(r *rapid.T) {
	groups := make([][]service.OffsetCommit, len(w.stores))
	for range rapid.IntRange(1, 3).Draw(r, "commits") {
		pending := w.pending(r, w.aConsumer(r))
		for i := range groups {
			groups[i] = append(groups[i], pending(i))
		}
	}
	now := clock(r)
	ask(r, w, "commit", func(i int, s service.Store) (any, error) {
		return nil, s.CommitOffsets(w.test.Context(), groups[i], now)
	}, func(int, any) any { return nil })
}

// look compares everything that can be listed or counted.
func (w *world) look(r *rapid.T) {
	ctx := w.test.Context()
	topic := w.aTopic(r)
	ask(r, w, "count clients", func(i int, s service.Store) ([2]int64, error) {
		producers, consumers, err := s.CountClients(ctx, topic.id(i))
		return [2]int64{producers, consumers}, err
	}, func(_ int, counts [2]int64) any { return counts })
	ask(r, w, "list producers", func(i int, s service.Store) ([]service.Producer, error) {
		return s.ListProducers(ctx, topic.id(i), 0, 100)
	}, func(i int, rows []service.Producer) any {
		var plain []service.Producer
		for _, row := range rows {
			plain = append(plain, w.plainProducer(i, row))
		}
		// By number, for an engine may give ids in any order.
		slices.SortFunc(plain, func(a, b service.Producer) int { return cmp.Compare(a.ID, b.ID) })
		return plain
	})
	ask(r, w, "list consumers", func(i int, s service.Store) ([]service.Consumer, error) {
		return s.ListConsumers(ctx, topic.id(i), 0, 100)
	}, func(i int, rows []service.Consumer) any {
		var plain []service.Consumer
		for _, row := range rows {
			plain = append(plain, w.plainConsumer(i, row))
		}
		slices.SortFunc(plain, func(a, b service.Consumer) int { return cmp.Compare(a.ID, b.ID) })
		return plain
	})
	ask(r, w, "find consumer", func(i int, s service.Store) (service.Consumer, error) {
		return s.FindConsumer(ctx, topic.id(i), "c")
	}, func(i int, row service.Consumer) any { return w.plainConsumer(i, row) })
	for _, name := range []string{"p", "q"} {
		for _, in := range []service.TopicName{"", topic.name} {
			ask(r, w, "count produced", func(_ int, s service.Store) (int64, error) {
				return s.CountProduced(ctx, w.prefix+name, in)
			}, func(_ int, n int64) any { return n })
		}
		ask(r, w, "producer", func(_ int, s service.Store) (service.Producer, error) {
			return s.Producer(ctx, topic.name, w.prefix+name)
		}, func(i int, row service.Producer) any { return w.plainProducer(i, row) })
	}
	prefix := w.prefix + draw(r, "prefix", "", "a", "b_", "_", "%")
	last := service.TopicName(w.prefix + draw(r, "after", "", "A", "B", "a", "b_"))
	limit := rapid.IntRange(1, 4).Draw(r, "limit")
	ask(r, w, "list topics", func(_ int, s service.Store) ([]service.TopicName, error) {
		return s.ListTopics(ctx, prefix, last, limit)
	}, func(_ int, names []service.TopicName) any { return names })
	ask(r, w, "heads", func(_ int, s service.Store) ([]service.Head, error) {
		heads, err := s.Heads(ctx, []service.TopicName{topic.name, service.TopicName(w.prefix + "none")})
		return heads, err
	}, func(i int, heads []service.Head) any {
		var plain []service.Head
		for _, h := range heads {
			plain = append(plain, w.plainHead(i, h))
		}
		return plain
	})
}

// compareAll compares whole logs at the end of a run.
func (w *world) compareAll(r *rapid.T) {
	w.look(r)
	for _, topic := range w.topics {
		heads, ok := ask(r, w, "final head", func(i int, s service.Store) (service.Head, error) {
			return s.Trim(w.test.Context(), topic.id(i), 0) // before offset 0: it only reads the head
		}, func(i int, h service.Head) any { return w.plainHead(i, h) })
		if !ok {
			continue
		}
		ask(r, w, "final read", func(i int, s service.Store) ([]service.Message, error) {
			return s.Read(w.test.Context(), topic.id(i), heads[0].First, 1000, 1<<20)
		}, plainMessages)
	}
}
