package client

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// The states of producers are those that their sessions know, and asking opens no session.
func TestProducerStates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	anonymous := openProducer(t, c, "orders")
	if _, err := anonymous.SendBatch(ctx, numbered("other", 2)); err != nil {
		t.Fatal(err)
	}
	again := openProducer(t, c, "orders", Name("shop"))
	for range 2 {
		state, err := c.ProducerState(ctx, "orders", "shop")
		if want := (ProducerState{
			ID: again.id, Name: "shop", Epoch: again.Epoch(), NextSeq: 5, LastOffset: 4, Count: 5,
		}); err != nil || state != want {
			t.Errorf("%+v, %v; want %+v", state, err, want)
		}
	}
	fresh := openProducer(t, c, "orders", Name("fresh"))
	if state, err := c.ProducerState(ctx, "orders", "fresh"); err != nil || state.LastOffset != NoOffset || state.NextSeq != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	var listed []ProducerState
	for state, err := range c.Producers(ctx, "orders") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, state)
	}
	for _, want := range []ProducerState{
		{ID: anonymous.id, Epoch: -1, NextSeq: NoSeq, LastOffset: NoOffset},
		{ID: again.id, Name: "shop", Epoch: again.Epoch(), NextSeq: 5, LastOffset: NoOffset, Count: 5},
		{ID: fresh.id, Name: "fresh", Epoch: fresh.Epoch(), LastOffset: NoOffset},
	} {
		if !slices.Contains(listed, want) {
			t.Errorf("%+v is not among %+v", want, listed)
		}
	}
	for topic, want := range map[string]int64{"": 5, "orders": 5} {
		if n, err := c.CountProduced(ctx, topic, "shop"); err != nil || n != want {
			t.Errorf("count in %q: %d, %v", topic, n, err)
		}
	}
	if n, err := c.CountProduced(ctx, "", "unknown"); err != nil || n != 0 {
		t.Errorf("count of an unknown name: %d, %v", n, err)
	}
	for _, p := range []*Producer{anonymous, again, fresh} {
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// A consumer is found by its name and by its id, and can be moved to each kind of position.
func TestConsumerStatesAndSetOffset(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	s := openConsumer(t, c, []string{"orders"}, Name("billing"), From(AtTime(time.Now().Add(-time.Hour))), MaxMessages(2))
	late := openConsumer(t, c, []string{"orders"}, From(AtTime(time.Now().Add(time.Hour))))
	state, err := c.ConsumerState(ctx, "orders", "billing")
	if err != nil || state.Name != "billing" || state.Offset != 0 || state.Lag != 5 || state.LastSeen.IsZero() {
		t.Errorf("%+v, %v", state, err)
	}
	if other, err := c.ConsumerStateByID(ctx, "orders", late.subs[0].id); err != nil || other.Name != "" || other.Lag != 0 {
		t.Errorf("%+v, %v", other, err)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, row := range []struct {
		to   Start
		want int64
	}{
		{At(3), 3},
		{Beginning, 0},
		{End, 5},
		{AtTime(time.Now().Add(-time.Hour)), 0},
		{AtTime(time.Now().Add(time.Hour)), 5},
		{At(2), 2},
	} {
		offset, err := c.SetOffset(ctx, "orders", state.ID, row.to)
		moved, stateErr := c.ConsumerStateByID(ctx, "orders", state.ID)
		if err := errors.Join(err, stateErr); err != nil || offset != row.want || moved.Offset != offset || moved.Lag != 5-offset {
			t.Errorf("to %s: %d, %+v, %v", row.to, offset, moved, err)
		}
	}
	lags := map[string]int64{}
	for state, err := range c.Consumers(ctx, "orders") {
		if err != nil {
			t.Fatal(err)
		}
		lags[state.Name] = state.Lag
	}
	if fmt.Sprint(lags) != "map[:0 billing:3]" {
		t.Errorf("%v", lags)
	}
	if err := late.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestStateErrors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	s := openConsumer(t, c, []string{"orders"})
	id := s.subs[0].id
	call := func(_ any, err error) error { return err }
	for i, row := range []struct {
		err, want error
	}{
		{call(c.ConsumerState(ctx, "missing", "x")), ErrTopicNotFound},
		{call(c.ConsumerState(ctx, "orders", "x")), ErrConsumerNotFound},
		{call(c.ConsumerState(ctx, "orders", "")), ErrInvalidRequest},
		{call(c.ConsumerStateByID(ctx, "a b", id)), ErrInvalidRequest},
		{call(c.ConsumerStateByID(ctx, "orders", id+256)), ErrConsumerNotFound},
		{call(c.ProducerState(ctx, "missing", "x")), ErrTopicNotFound},
		{call(c.ProducerState(ctx, "orders", "x")), ErrProducerNotFound},
		{call(c.ProducerState(ctx, "orders", "a b")), ErrInvalidRequest},
		{call(c.ProducerState(ctx, "a b", "x")), ErrInvalidRequest},
		{call(c.CountProduced(ctx, "missing", "x")), ErrTopicNotFound},
		{call(c.CountProduced(ctx, "", "a b")), ErrInvalidRequest},
		{call(c.SetOffset(ctx, "orders", id, At(6))), ErrOffsetOutOfRange},
		{call(c.SetOffset(ctx, "orders", id, "")), ErrInvalidRequest},
		{call(c.SetOffset(ctx, "missing", id, End)), ErrTopicNotFound},
		{call(c.SetOffset(ctx, "missing", id, Beginning)), ErrTopicNotFound},
		{call(c.SetOffset(ctx, "orders", id+256, Beginning)), ErrConsumerNotFound},
		{call(c.Consumer(ctx, []string{"missing"}, From(AtTime(time.Now())))), ErrTopicNotFound},
	} {
		if !errors.Is(row.err, row.want) {
			t.Errorf("case %d: %v, want %v", i, row.err, row.want)
		}
	}
	for _, topic := range []string{"missing", "a b"} {
		for _, err := range c.Consumers(ctx, topic) {
			if err == nil {
				t.Errorf("consumers of %s", topic)
			}
		}
		for _, err := range c.Producers(ctx, topic) {
			if err == nil {
				t.Errorf("producers of %s", topic)
			}
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Lists of more than a page are asked for page by page, and may be left at any moment.
func TestStatesOfManyPages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 0, nil)
	const total = 230 // pages have 100
	for i := range total {
		openConsumer(t, c, []string{"orders"}, Name(fmt.Sprint("c", i)))
	}
	seen := map[string]bool{}
	last := int64(0)
	for state, err := range c.Consumers(ctx, "orders") {
		if err != nil || state.ID <= last {
			t.Fatalf("%+v after %d, %v", state, last, err)
		}
		seen[state.Name], last = true, state.ID
	}
	if len(seen) != total {
		t.Errorf("%d consumers", len(seen))
	}
	for _, err := range c.Consumers(ctx, "orders") {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

// A page that leads to itself would never end.
func TestStatesNeverTurnInCircles(t *testing.T) {
	t.Parallel()
	next := int64(7)
	c, _ := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, wire.ListConsumersResult{Status: "success", Next: &next})
	}), nil)
	n := 0
	for _, err := range c.Consumers(t.Context(), "orders") {
		if n++; err == nil || n > 1 {
			t.Errorf("%d: %v", n, err)
		}
	}
}
