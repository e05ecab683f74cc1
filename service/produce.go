package service

import (
	"context"
	"time"
)

// ProduceRequest asks to append messages to a topic.
type ProduceRequest struct {
	Topic    TopicName
	Producer ProducerID
	Payloads []Payload
	// The rest is optional: "" or nil.
	ProdName       string
	Epoch          *int64
	Seq            *int64 // of the first message; the others follow on (P1)
	ExpectedOffset *Offset
	Incarnation    string
}

// ProduceResult says where the messages are.
type ProduceResult struct {
	AppendResult
	Durability Durability
}

// Offset is where the first message is; false when it was trimmed meanwhile.
func (r *ProduceResult) Offset() (Offset, bool) {
	return r.Ranges[0].Offset, r.Ranges[0].Offset >= 0
}

// Produce appends messages and returns when they are as durable as the store makes them. With
// Seq it may be repeated blindly: the original offsets are returned (P4). Without, a message whose
// answer was lost may be stored once or not at all, and repeating may store it twice (P6).
//
// Errors: invalid_request, message_too_large, request_too_large, topic_not_found,
// incarnation_changed, producer_not_found, producer_fenced, unknown_epoch, seq_gap, seq_reused,
// append_conflict, rate_limited, overloaded, unavailable, outcome_unknown, storage_full.
func (b *Broker) Produce(ctx context.Context, r ProduceRequest) (ProduceResult, error) {
	if err := b.enter(); err != nil {
		return ProduceResult{}, err
	}
	defer b.leave()
	if err := b.checkProduce(&r); err != nil {
		return ProduceResult{}, err
	}
	request := AppendRequest{
		Producer: r.Producer, ProdName: r.ProdName, Epoch: r.Epoch, Seq: NoSeq,
		ExpectedOffset: r.ExpectedOffset, Incarnation: r.Incarnation, Payloads: r.Payloads,
	}
	if r.Seq != nil {
		request.Seq = *r.Seq
	}
	t, err := b.admitted(ctx, &r)
	for range resolveAttempts {
		if err != nil {
			return ProduceResult{}, b.counters.refusedByQuota(err)
		}
		var result AppendResult
		if result, err = b.produceTo(ctx, t, request); CodeOf(err) != CodeTopicNotFound {
			if err == nil {
				b.used.producer(r.Producer, time.Now())
			}
			return ProduceResult{AppendResult: result, Durability: b.props.Durability}, b.counters.refusedByQuota(err)
		}
		// The life of the topic known here has ended: its head row is not there. The name is
		// resolved anew and the request decided anew (P3).
		t, err = b.freshTopic(ctx, r.Topic)
	}
	return ProduceResult{}, ErrTopicNotFound
}

// admitted returns the topic of a request that the paces of its token and its topic let through. The caller releases
// it.
func (b *Broker) admitted(ctx context.Context, r *ProduceRequest) (*topic, error) {
	t, err := b.knownTopic(ctx, r.Topic)
	if err != nil {
		return nil, err
	}
	if err := takeBytes(ctx, t, payloadBytes(r.Payloads)); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func payloadBytes(payloads []Payload) (sum int64) {
	for i := range payloads {
		sum += payloads[i].Size()
	}
	return sum
}

// produceTo hands a request to the lane of its topic, which releases the topic: the group goes on
// when this caller is gone.
func (b *Broker) produceTo(ctx context.Context, t *topic, request AppendRequest) (AppendResult, error) {
	request.Topic = t.id
	size := requestSize(len(request.Payloads), payloadBytes(request.Payloads))
	j := newJob[produceJob, AppendResult](ctx, produceJob{request, t}, size)
	j.followed = b.traced(ctx, t.name)
	if err := b.commits.submit(BucketOf(t.name), j); err != nil {
		t.release()
		return AppendResult{}, err
	}
	return j.wait(ctx)
}

func (b *Broker) checkProduce(r *ProduceRequest) error {
	if err := CheckName("topic", r.Topic); err != nil {
		return err
	}
	if err := checkInteger("producer_id", r.Producer, 1); err != nil {
		return err
	}
	if err := checkOptionalName("prod_name", r.ProdName); err != nil {
		return err
	}
	if err := checkToken("incarnation", r.Incarnation); err != nil {
		return err
	}
	if err := checkOptional("epoch", r.Epoch, 0); err != nil {
		return err
	}
	if err := checkOptional("expected_offset", r.ExpectedOffset, 0); err != nil {
		return err
	}
	if err := b.limits.checkPayloads(r.Payloads); err != nil {
		return err
	}
	if r.Seq == nil {
		return nil
	}
	// The last message's seq must be one that the next answer can name.
	if *r.Seq < 0 || *r.Seq > MaxInteger-int64(len(r.Payloads)) {
		return Invalid("seq", "must be between 0 and %d", int64(MaxInteger)-int64(len(r.Payloads)))
	}
	return nil
}

func checkOptional[T ~int64](field string, v *T, least T) error {
	if v == nil {
		return nil
	}
	return checkInteger(field, *v, least)
}
