package api

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// This is the only file that names values of the wire and of the service. It checks what the
// service cannot see any more: whether a member was there. Bounds are the service's.

// topicName and the two below are for handlers, which name no types of the service.
func topicName(s wire.Name) service.TopicName      { return service.TopicName(s) }
func producerID(id wire.ID) service.ProducerID     { return service.ProducerID(id) }
func consumerID(id wire.ID) service.ConsumerID     { return service.ConsumerID(id) }
func offsetOf(offset *wire.Offset) *service.Offset { return (*service.Offset)(offset) }

// valueOf returns what p points to, the zero value if it was absent.
func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional returns a pointer to v, nil for what is to be absent from the answer.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// textOf returns an optional text. For the service "" means absent, so it cannot be sent.
func textOf(field string, s *string) (string, error) {
	if s == nil {
		return "", nil
	}
	if *s == "" {
		return "", service.Invalid(field, "must not be empty")
	}
	return *s, nil
}

// count returns an optional count. What does not fit is out of bounds either way.
func count(n *int64) *int {
	if n == nil {
		return nil
	}
	v := int(min(max(*n, math.MinInt32), math.MaxInt32))
	return &v
}

// seconds returns an optional time, given in seconds. What does not fit is out of bounds either way.
func seconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	v := time.Duration(min(max(*n, math.MinInt32), math.MaxInt32)) * time.Second
	return &v
}

func registration(b *wire.RegisterProducerRequest) (name, instance string, err error) {
	if name, err = textOf("prod_name", b.ProdName); err != nil {
		return "", "", err
	}
	instance, err = textOf("instance", b.Instance)
	return name, instance, err
}

func start(b *wire.RegisterConsumerRequest) (name string, from service.Start, err error) {
	if name, err = textOf("cons_name", b.ConsName); err != nil {
		return "", 0, err
	}
	if b.From == nil {
		return name, service.FromBeginning, nil
	}
	switch *b.From {
	case "beginning":
		return name, service.FromBeginning, nil
	case "end":
		return name, service.FromEnd, nil
	}
	n, ok := decimal(*b.From)
	if !ok || n < 0 {
		return "", 0, service.Invalid("from", "must be beginning, end, or an offset in digits")
	}
	return name, service.Start(n), nil
}

func whichConsumer(p *wire.DescribeConsumerParams) (service.ConsumerID, string, error) {
	if (p.ConsumerID == nil) == (p.ConsName == nil) {
		return 0, "", service.Invalid("consumer_id", "send exactly one of consumer_id and cons_name")
	}
	return consumerID(valueOf(p.ConsumerID)), valueOf(p.ConsName), nil
}

func setOffsetRequest(b *wire.SetOffsetRequest) (service.SetOffsetRequest, error) {
	topic, err := textOf("topic", b.Topic)
	return service.SetOffsetRequest{
		Consumer: consumerID(b.ConsumerID), Topic: topicName(topic), Offset: offsetOf(b.Offset), Time: b.Time,
	}, err
}

func produceRequest(b *wire.ProduceRequest) (service.ProduceRequest, error) {
	r := service.ProduceRequest{
		Topic: topicName(b.Topic), Producer: producerID(b.ProducerID),
		Epoch: b.Epoch, Seq: b.Seq, ExpectedOffset: offsetOf(b.ExpectedOffset),
	}
	var err error
	if r.ProdName, err = textOf("prod_name", b.ProdName); err != nil {
		return r, err
	}
	if r.Incarnation, err = textOf("incarnation", b.Incarnation); err != nil {
		return r, err
	}
	if b.Messages == nil {
		r.Payloads = make([]service.Payload, 1)
		return r, payload(&r.Payloads[0], b.Message, b.MessageBase64, b.Headers)
	}
	if b.Message != nil || b.MessageBase64 != nil {
		return r, service.Invalid("messages", "send exactly one of message, message_base64 and messages")
	}
	if b.Headers != nil {
		return r, service.Invalid("headers", "belongs to a single message: send headers in messages")
	}
	r.Payloads = make([]service.Payload, len(b.Messages))
	for i := range b.Messages {
		m := &b.Messages[i]
		if err := payload(&r.Payloads[i], m.Message, m.MessageBase64, m.Headers); err != nil {
			return r, err
		}
	}
	return r, nil
}

// payload fills in a message, which is text or bytes.
func payload(p *service.Payload, message *wire.Text, binary *wire.Bytes, headers wire.Headers) error {
	p.Headers = service.Headers(headers)
	switch {
	case message != nil && binary == nil:
		p.Bytes = []byte(*message)
	case message == nil && binary != nil:
		p.Bytes, p.Binary = *binary, true
	default:
		return service.Invalid("message", "send exactly one of message and message_base64")
	}
	return nil
}

// consumeBody gives the parameters of a consume by GET the form of a consume by POST.
func consumeBody(p *wire.ConsumeParams) *wire.ConsumeRequest {
	return &wire.ConsumeRequest{
		Topic: p.Topic, ConsumerID: p.ConsumerID, Offset: p.Offset,
		Limit: p.Limit, MaxBytes: p.MaxBytes, Wait: p.Wait, Incarnation: p.Incarnation,
	}
}

func consumeRequest(b *wire.ConsumeRequest) (service.ConsumeRequest, error) {
	incarnation, err := textOf("incarnation", b.Incarnation)
	return service.ConsumeRequest{
		Topic: topicName(b.Topic), Consumer: consumerID(b.ConsumerID), Offset: offsetOf(b.Offset),
		Limit: count(b.Limit), MaxBytes: b.MaxBytes, Wait: seconds(b.Wait), Incarnation: incarnation,
	}, err
}

func readRequest(topic wire.Name, p *wire.ReadMessagesParams) (service.ReadRequest, error) {
	incarnation, err := textOf("incarnation", p.Incarnation)
	return service.ReadRequest{
		Topic: topicName(topic), Offset: offsetOf(p.Offset), Time: p.Time,
		Limit: count(p.Limit), MaxBytes: p.MaxBytes, Wait: seconds(p.Wait), Incarnation: incarnation,
	}, err
}

// streamRequest: the id of the last event wins over what the address says, which is still that of the
// first connection when a browser connects again.
func streamRequest(topic wire.Name, p *wire.StreamMessagesParams) (service.StreamRequest, error) {
	r := service.StreamRequest{Topic: topicName(topic)}
	if id := valueOf(p.LastEventID); id != "" {
		var seen service.Offset
		var ok bool
		seen, r.Incarnation, ok = parseEventID(id)
		if !ok {
			return r, service.Invalid("Last-Event-ID", "must be the id of an event")
		}
		r.Offset, r.Resumes = seen+1, true
		return r, nil
	}
	if p.Offset == nil {
		return r, service.Invalid("offset", "is missing, and there is no Last-Event-ID")
	}
	r.Offset = *offsetOf(p.Offset)
	var err error
	r.Incarnation, err = textOf("incarnation", p.Incarnation)
	return r, err
}

// eventID says what a reader has seen of a topic: all up to the offset before next. "" says that there
// was nothing to see yet.
func eventID(next service.Offset, incarnation string) string {
	if next == 0 {
		return ""
	}
	return strconv.FormatInt(int64(next-1), 10) + "." + incarnation
}

func parseEventID(id string) (offset service.Offset, incarnation string, ok bool) {
	digits, incarnation, _ := strings.Cut(id, ".")
	n, ok := decimal(digits)
	return service.Offset(n), incarnation, ok && n >= 0 && n < service.MaxInteger && incarnation != ""
}

// Answers.

func createTopicResult(head service.Head) wire.CreateTopicResult {
	return wire.CreateTopicResult{
		Status: wire.SuccessStatusSuccess, Topic: string(head.Name),
		Message: "Topic '" + string(head.Name) + "' created successfully",
	}
}

func deleteTopicResult(name wire.Name) wire.DeleteTopicResult {
	return wire.DeleteTopicResult{
		Status: wire.SuccessStatusSuccess, Topic: name, Message: "Topic '" + name + "' deleted successfully",
	}
}

func listTopicsResult(names []service.TopicName, next service.TopicName) wire.ListTopicsResult {
	r := wire.ListTopicsResult{Status: wire.SuccessStatusSuccess, Topics: make([]wire.Name, len(names)), Next: optional(string(next))}
	for i, name := range names {
		r.Topics[i] = string(name)
	}
	return r
}

// retentionChange is nil if nothing was said.
func retentionChange(r *wire.RetentionChange) *service.RetentionChange {
	if r == nil {
		return nil
	}
	change := service.RetentionChange{MaxBytes: r.MaxBytes, MaxMessages: r.MaxMessages, KeepFor: r.KeepFor}
	if r.MaxAgeSeconds != nil {
		// What does not fit is out of bounds either way.
		age := time.Duration(min(max(*r.MaxAgeSeconds, -1), int64(service.MaxRetentionAge/time.Second)+1)) * time.Second
		change.MaxAge = &age
	}
	return &change
}

func retention(r *service.Retention) wire.Retention {
	answer := wire.Retention{
		MaxAgeSeconds: optional(int64(r.MaxAge / time.Second)),
		MaxBytes:      optional(r.MaxBytes), MaxMessages: optional(r.MaxMessages),
	}
	if len(r.KeepFor) > 0 {
		answer.KeepFor = &r.KeepFor
	}
	return answer
}

func topicResult(s *service.TopicState) wire.TopicResult {
	return wire.TopicResult{
		Status: wire.SuccessStatusSuccess, Topic: string(s.Name), Incarnation: s.Incarnation,
		CreatedAt: s.CreatedAt.UTC(), FirstOffset: int64(s.First), NextOffset: int64(s.Next),
		Messages: int64(s.Next - s.First), Bytes: s.Bytes, Retention: retention(&s.Retention), Quota: topicQuota(&s.Quota),
		Producers: s.Producers, Consumers: s.Consumers,
	}
}

func registerProducerResult(p *service.Producer, head *service.Head) wire.RegisterProducerResult {
	r := wire.RegisterProducerResult{
		Status: wire.SuccessStatusSuccess, ProducerID: int64(p.ID), Incarnation: head.Incarnation,
	}
	if p.Name != "" {
		r.Epoch, r.NextSeq, r.LastOffset = &p.Epoch, &p.NextSeq, lastOffset(p)
	}
	return r
}

// lastOffset is absent while there is no message with a seq.
func lastOffset(p *service.Producer) *wire.Offset {
	if p.LastOffset < 0 {
		return nil
	}
	return (*wire.Offset)(&p.LastOffset)
}

func unregisterProducerResult(id wire.ID) wire.UnregisterProducerResult {
	return wire.UnregisterProducerResult{Status: wire.SuccessStatusSuccess, ProducerID: id}
}

func producerResult(p *service.Producer) wire.ProducerResult {
	return wire.ProducerResult{
		Status: wire.SuccessStatusSuccess, ProducerID: int64(p.ID), Epoch: p.Epoch, NextSeq: p.NextSeq,
		LastOffset: lastOffset(p), Count: p.Count,
	}
}

func listProducersResult(list []service.Producer, next service.ProducerID) wire.ListProducersResult {
	r := wire.ListProducersResult{
		Status: wire.SuccessStatusSuccess, Producers: make([]wire.ProducerEntry, len(list)), Next: optional(int64(next)),
	}
	for i := range list {
		p := &list[i]
		r.Producers[i].ProducerID = int64(p.ID)
		if p.Name != "" {
			e := &r.Producers[i]
			e.ProdName, e.Epoch, e.NextSeq, e.Count = &p.Name, &p.Epoch, &p.NextSeq, &p.Count
		}
	}
	return r
}

func countProducedResult(n int64) wire.CountProducedResult {
	return wire.CountProducedResult{Status: wire.SuccessStatusSuccess, Count: n}
}

func registerConsumerResult(c *service.Consumer, head *service.Head) wire.RegisterConsumerResult {
	return wire.RegisterConsumerResult{
		Status: wire.SuccessStatusSuccess, ConsumerID: int64(c.ID), Offset: int64(c.Offset), Incarnation: head.Incarnation,
	}
}

func unregisterConsumerResult(id wire.ID) wire.UnregisterConsumerResult {
	return wire.UnregisterConsumerResult{Status: wire.SuccessStatusSuccess, ConsumerID: id}
}

func consumerResult(s *service.ConsumerState) wire.ConsumerResult {
	return wire.ConsumerResult{
		Status: wire.SuccessStatusSuccess, ConsumerID: int64(s.ID), ConsName: optional(s.Name),
		Offset: int64(s.Offset), Lag: s.Lag, LastSeen: lastSeen(s),
	}
}

func lastSeen(s *service.ConsumerState) *time.Time {
	if s.LastSeen.IsZero() {
		return nil
	}
	t := s.LastSeen.UTC()
	return &t
}

func listConsumersResult(list []service.ConsumerState, next service.ConsumerID) wire.ListConsumersResult {
	r := wire.ListConsumersResult{
		Status: wire.SuccessStatusSuccess, Consumers: make([]wire.ConsumerEntry, len(list)), Next: optional(int64(next)),
	}
	for i := range list {
		s := &list[i]
		r.Consumers[i] = wire.ConsumerEntry{
			ConsumerID: int64(s.ID), ConsName: optional(s.Name), Offset: int64(s.Offset), Lag: s.Lag, LastSeen: lastSeen(s),
		}
	}
	return r
}

func setOffsetResult(c *service.Consumer) wire.SetOffsetResult {
	return wire.SetOffsetResult{Status: wire.SuccessStatusSuccess, Offset: int64(c.Offset)}
}

func countUnreadResult(n int64) wire.CountUnreadResult {
	return wire.CountUnreadResult{Status: wire.SuccessStatusSuccess, Size: n}
}

func healthy() wire.HealthResult { return wire.HealthResult{Status: wire.SuccessStatusSuccess} }

func infoResult(p service.Properties, l *service.Limits, c *Config) wire.InfoResult {
	return wire.InfoResult{
		Status: wire.SuccessStatusSuccess, Version: c.Version, Engine: p.Engine, Durability: wire.Durability(p.Durability),
		Unsafe: append(append([]string{}, p.Unsafe...), c.Unsafe...),
		Limits: wire.Limits{
			RequestBytes: l.RequestBytes, MessageBytes: l.MessageBytes, RequestMessages: int64(l.Messages),
			NameLength: service.MaxNameBytes, HeaderEntries: int64(l.HeaderEntries), HeaderBytes: l.HeaderBytes,
			LimitDefault: int64(l.DefaultReadMessages), LimitMax: int64(l.ReadMessages),
			AnswerBytesDefault: l.DefaultReadBytes, AnswerBytesMax: l.ReadBytes, WaitSeconds: int64(l.Wait / time.Second),
			HeaderBlockBytes: int64(c.HeaderBytes), JSONDepth: int64(c.JSONDepth),
			ReadHeaderSeconds: int64(c.HeaderTimeout / time.Second), ReadBodySeconds: int64(c.BodyTimeout / time.Second),
			ReadBodyBytesPerSecond: c.BodyBytesPerSecond, ReadingBytes: c.readingBytes(l), IdleSeconds: int64(c.IdleTimeout / time.Second),
			Connections: int64(c.Connections), WaitingPollers: int64(l.Waiters),
			QueueBytes: l.QueueBytes, QueueRequests: int64(l.QueueRequests),
		},
	}
}

// failureOf returns the answer to a failure, of which one of the two is not nil. The cause of an
// internal failure, and its words, are for the log alone.
func failureOf(known *service.Error, refused *refusal) wire.Failure {
	if refused != nil {
		return wire.Failure{
			Status: wire.FailureStatusFailure, Code: wire.FailureCode(refused.code), Message: refused.message,
			Required: optional(refused.required),
		}
	}
	if known.Code == service.CodeInternal {
		known = service.ErrInternal
	}
	f := &known.Facts
	return wire.Failure{
		Status: wire.FailureStatusFailure, Code: wire.FailureCode(known.Code), Message: known.Message,
		Field: optional(f.Field), Incarnation: optional(f.Incarnation), Epoch: f.Epoch, ExpectedSeq: f.ExpectedSeq,
		Seq: f.Seq, Offset: f.Offset, FirstOffset: f.FirstOffset, NextOffset: f.NextOffset, MaxBytes: f.MaxBytes,
		Quota: optional(string(f.Quota)),
	}
}
