package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// plainWorker consumes one message after another. At the end of its topic it goes back to the beginning.
type plainWorker struct {
	reader
	slots []plainSlot
}

// plainSlot is a consumer. Its requests are always the same; back is the one that seeks.
type plainSlot struct {
	ask, back []byte
	last      int64 // offset answered last
	inDoubt   bool  // a request got no answer, and may have moved it
}

func (c *benchCommand) plainWorker(ctx context.Context, s *benchSetup, i int, r reader) (benchWorker, error) {
	w := &plainWorker{reader: r}
	for _, topic := range c.topicsOf(i) {
		registered, err := s.consumer(ctx, i, s.topic(topic), "beginning")
		if err != nil {
			return nil, err
		}
		body := fmt.Sprintf(`{"topic":%q,"consumer_id":%d}`, s.topic(topic), registered.ConsumerID)
		back := fmt.Sprintf(`{"consumer_id":%d,"offset":-1}`, registered.ConsumerID)
		w.slots = append(w.slots, plainSlot{
			ask:  append(requestHead(nil, http.MethodPost, "/consumer/consume", r.conn, len(body)), body...),
			back: append(requestHead(nil, http.MethodPost, "/consumer/set_offset", r.conn, len(back)), back...),
		})
	}
	return w, nil
}

// do implements benchWorker.
func (w *plainWorker) do(ctx context.Context, _ time.Time) (work, error) {
	s := &w.slots[w.turn]
	w.request = s.ask
	err := w.ask(ctx)
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == "no_message" {
		w.request = s.back
		if err = w.ask(ctx); err == nil {
			s.last, s.inDoubt = 0, false
		}
		return work{uncounted: true}, err
	}
	if err != nil {
		s.inDoubt = true
		return work{}, err
	}
	offset, ok := firstInteger(w.answer, memberOffset)
	at := bytes.Index(w.answer, []byte(memberMessage))
	if end := at + len(memberMessage) + w.payload; !ok || at < 0 || end >= len(w.answer) || w.answer[end] != '"' {
		return work{}, fmt.Errorf("%w: %s", errNoSuchAnswer, excerpt(w.answer))
	}
	if !w.constant && offset != s.last+1 && (!s.inDoubt || offset <= s.last) {
		return work{}, fmt.Errorf("offset %d is answered after %d", offset, s.last)
	}
	s.last, s.inDoubt = offset, false
	w.turn = (w.turn + 1) % len(w.slots)
	return work{messages: 1, bytes: int64(w.payload)}, nil
}

func (w *plainWorker) forLimit(conn *benchConn) benchWorker {
	return &plainWorker{reader: reader{conn: conn, payload: w.payload, constant: true}, slots: slices.Clone(w.slots)}
}
