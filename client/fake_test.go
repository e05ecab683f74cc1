package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// fakeBroker speaks enough of the wire for the SDK, in memory. It exists for faults and for timers: it runs
// inside a synctest bubble, which sockets do not.
type fakeBroker struct {
	mu          sync.Mutex
	incarnation string
	topics      map[string]*fakeTopic
	consumers   map[int64]*fakeConsumer
	ids         int64
	grown       chan struct{} // closed and replaced when a message arrives
	maxBytes    int           // of one message
}

type fakeTopic struct {
	messages  []wire.LogMessage
	first     int64
	producers map[string]*fakeProducer
}

type fakeProducer struct {
	id, epoch, next int64
	instances       []string
	stored          []int64 // offset by seq
}

type fakeConsumer struct {
	topic, name string
	offset      int64
}

func newFake(topics ...string) *fakeBroker {
	f := &fakeBroker{
		incarnation: "one", topics: map[string]*fakeTopic{}, consumers: map[int64]*fakeConsumer{},
		grown: make(chan struct{}), maxBytes: 1 << 20,
	}
	for _, name := range topics {
		f.topics[name] = &fakeTopic{producers: map[string]*fakeProducer{}}
	}
	return f
}

type refusalError struct {
	status int
	wire.Failure
}

func (r *refusalError) Error() string { return string(r.Code) }

func refuse(status int, code wire.FailureCode) *refusalError {
	return &refusalError{status: status, Failure: wire.Failure{
		Status: wire.FailureStatusFailure, Code: code, Message: "refused",
	}}
}

func (f *fakeBroker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := f.serve(r)
	if refusal, ok := errors.AsType[*refusalError](err); ok {
		writeJSON(w, refusal.status, refusal.Failure)
		return
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, wire.Failure{
			Status: wire.FailureStatusFailure, Code: wire.FailureCodeInvalidRequest, Message: err.Error(),
		})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // values of package wire always encode
}

func body[T any](r *http.Request) (T, error) {
	var v T
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	return v, dec.Decode(&v)
}

func (f *fakeBroker) serve(r *http.Request) (any, error) {
	switch r.Method + " " + r.URL.Path {
	case "POST /topics":
		return wire.CreateTopicResult{Status: "success"}, nil
	case "DELETE /topics/orders":
		return wire.DeleteTopicResult{Status: "success"}, nil
	case "POST /producer/register":
		in, err := body[wire.RegisterProducerRequest](r)
		if err != nil {
			return nil, err
		}
		return f.registerProducer(in)
	case "POST /producer/produce":
		in, err := body[wire.ProduceRequest](r)
		if err != nil {
			return nil, err
		}
		return f.produce(in)
	case "POST /producer/unregister":
		return wire.UnregisterProducerResult{Status: "success"}, nil
	case "POST /consumer/register":
		in, err := body[wire.RegisterConsumerRequest](r)
		if err != nil {
			return nil, err
		}
		return f.registerConsumer(in)
	case "POST /consumer/consume":
		in, err := body[wire.ConsumeRequest](r)
		if err != nil {
			return nil, err
		}
		return f.consume(r.Context(), in)
	case "POST /consumer/set_offset":
		in, err := body[wire.SetOffsetRequest](r)
		if err != nil {
			return nil, err
		}
		return f.setOffset(in)
	case "POST /consumer/unregister":
		in, err := body[wire.UnregisterConsumerRequest](r)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.consumers, in.ConsumerID)
		return wire.UnregisterConsumerResult{Status: "success", ConsumerID: in.ConsumerID}, nil
	}
	return nil, refuse(http.StatusNotFound, wire.FailureCodeNotFound)
}

func (f *fakeBroker) registerProducer(in wire.RegisterProducerRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[in.Topic]
	if t == nil {
		t = &fakeTopic{producers: map[string]*fakeProducer{}}
		f.topics[in.Topic] = t
	}
	f.ids++
	out := wire.RegisterProducerResult{Status: "success", ProducerID: f.ids, Incarnation: f.incarnation}
	if in.ProdName == nil {
		return out, nil
	}
	p := t.producers[*in.ProdName]
	if p == nil {
		p = &fakeProducer{id: f.ids}
		t.producers[*in.ProdName] = p
	}
	if n := len(p.instances); n == 0 || p.instances[n-1] != *in.Instance {
		if slices.Contains(p.instances, *in.Instance) {
			return nil, refuse(http.StatusConflict, wire.FailureCodeProducerFenced)
		}
		p.instances = append(p.instances, *in.Instance)
		p.epoch++
	}
	epoch, next := p.epoch, p.next
	out.ProducerID, out.Epoch, out.NextSeq = p.id, &epoch, &next
	if next > 0 {
		last := p.stored[next-1]
		out.LastOffset = &last
	}
	return out, nil
}

func (f *fakeBroker) produce(in wire.ProduceRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[in.Topic]
	if t == nil {
		return nil, refuse(http.StatusNotFound, wire.FailureCodeTopicNotFound)
	}
	if in.Incarnation != nil && *in.Incarnation != f.incarnation {
		return nil, refuse(http.StatusConflict, wire.FailureCodeIncarnationChanged)
	}
	for _, m := range in.Messages {
		if m.Message != nil && len(*m.Message) > f.maxBytes {
			return nil, refuse(http.StatusRequestEntityTooLarge, wire.FailureCodeMessageTooLarge)
		}
	}
	out := wire.ProduceResult{
		Status: "success", Count: int64(len(in.Messages)), Durable: wire.DurabilityMemory, Incarnation: f.incarnation,
	}
	offset := int64(len(t.messages))
	if in.Seq != nil {
		p := t.producers[*in.ProdName]
		switch {
		case p == nil:
			return nil, refuse(http.StatusNotFound, wire.FailureCodeProducerNotFound)
		case *in.Epoch < p.epoch:
			return nil, refuse(http.StatusConflict, wire.FailureCodeProducerFenced)
		case *in.Seq > p.next:
			r := refuse(http.StatusConflict, wire.FailureCodeSeqGap)
			r.ExpectedSeq = &p.next
			return nil, r
		case *in.Seq < p.next:
			out.Offset, out.Duplicate = &p.stored[*in.Seq], true
			return out, nil
		}
		for i := range in.Messages {
			p.stored = append(p.stored, offset+int64(i))
		}
		p.next += int64(len(in.Messages))
	}
	for i, m := range in.Messages {
		row := wire.LogMessage{
			Offset: offset + int64(i), Message: m.Message, MessageBase64: m.MessageBase64, Headers: m.Headers,
			ProdName: in.ProdName, CreatedAt: time.Now().UTC(),
		}
		if in.Seq != nil {
			seq := *in.Seq + int64(i)
			row.Seq = &seq
		}
		t.messages = append(t.messages, row)
	}
	close(f.grown)
	f.grown = make(chan struct{})
	out.Offset = &offset
	return out, nil
}

func (f *fakeBroker) registerConsumer(in wire.RegisterConsumerRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[in.Topic]
	if t == nil {
		return nil, refuse(http.StatusNotFound, wire.FailureCodeTopicNotFound)
	}
	if in.ConsName != nil {
		for id, c := range f.consumers {
			if c.topic == in.Topic && c.name == *in.ConsName {
				return wire.RegisterConsumerResult{
					Status: "success", ConsumerID: id, Offset: c.offset, Incarnation: f.incarnation,
				}, nil
			}
		}
	}
	offset := t.first
	if in.From != nil && *in.From == "end" {
		offset = int64(len(t.messages))
	} else if in.From != nil && *in.From != "beginning" {
		offset, _ = strconv.ParseInt(*in.From, 10, 64)
	}
	f.ids++
	f.consumers[f.ids] = &fakeConsumer{topic: in.Topic, name: orEmpty(in.ConsName), offset: offset}
	return wire.RegisterConsumerResult{
		Status: "success", ConsumerID: f.ids, Offset: offset, Incarnation: f.incarnation,
	}, nil
}

func (f *fakeBroker) consume(ctx context.Context, in wire.ConsumeRequest) (any, error) {
	var deadline <-chan time.Time
	if in.Wait != nil {
		timer := time.NewTimer(time.Duration(*in.Wait) * time.Second)
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		out, grown, err := f.consumeNow(in)
		if err != nil || len(out.Messages) > 0 || deadline == nil {
			return out, err
		}
		select {
		case <-grown:
		case <-deadline:
			deadline = nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fakeBroker) consumeNow(in wire.ConsumeRequest) (*wire.ConsumeResult, chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, c := f.topics[in.Topic], f.consumers[in.ConsumerID]
	switch {
	case t == nil:
		return nil, nil, refuse(http.StatusNotFound, wire.FailureCodeTopicNotFound)
	case *in.Incarnation != f.incarnation:
		return nil, nil, refuse(http.StatusConflict, wire.FailureCodeIncarnationChanged)
	case c == nil || c.topic != in.Topic:
		return nil, nil, refuse(http.StatusNotFound, wire.FailureCodeConsumerNotFound)
	case *in.Offset < t.first:
		r := refuse(http.StatusGone, wire.FailureCodeOffsetTrimmed)
		r.FirstOffset = &t.first
		return nil, nil, r
	case *in.Offset > int64(len(t.messages)):
		return nil, nil, refuse(http.StatusRequestedRangeNotSatisfiable, wire.FailureCodeOffsetOutOfRange)
	case *in.Offset < c.offset:
		r := refuse(http.StatusConflict, wire.FailureCodeOffsetBehind)
		r.Offset = &c.offset
		return nil, nil, r
	}
	c.offset = *in.Offset
	limit := int64(100)
	if in.Limit != nil {
		limit = *in.Limit
	}
	end := min(*in.Offset+limit, int64(len(t.messages)))
	messages := append([]wire.LogMessage{}, t.messages[*in.Offset:end]...)
	return &wire.ConsumeResult{
		Status: "success", Offset: end, Incarnation: f.incarnation, Messages: messages,
	}, f.grown, nil
}

func (f *fakeBroker) setOffset(in wire.SetOffsetRequest) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.consumers[in.ConsumerID]
	if c == nil {
		return nil, refuse(http.StatusNotFound, wire.FailureCodeConsumerNotFound)
	}
	c.offset = max(*in.Offset, f.topics[c.topic].first)
	return wire.SetOffsetResult{Status: "success", Offset: c.offset}, nil
}

// orders lists what the topic of that name holds.
func (f *fakeBroker) orders() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var values []string
	for _, m := range f.topics["orders"].messages {
		values = append(values, orEmpty(m.Message))
	}
	return values
}

// committed is the position of a named consumer.
func (f *fakeBroker) committed(topic, name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.consumers {
		if c.topic == topic && c.name == name {
			return c.offset
		}
	}
	return -1
}
