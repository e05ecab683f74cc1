package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// liar is a store whose answers a test can falsify, for no call leaves a store in memory damaged.
type liar struct {
	service.Store
	head      func(*service.Head)
	listed    func([]service.TopicName) []service.TopicName
	log       func([]service.Message) []service.Message
	producers func([]service.Producer) []service.Producer
	consumers func([]service.Consumer) []service.Consumer
	count     func(int64) int64
	read      func() // before each Read
}

func falsify[T any](lie func(T) T, truth T, err error) (T, error) {
	if lie != nil && err == nil {
		truth = lie(truth)
	}
	return truth, err
}

func (l *liar) Heads(ctx context.Context, names []service.TopicName) ([]service.Head, error) {
	heads, err := l.Store.Heads(ctx, names)
	for i := range heads {
		if l.head != nil {
			l.head(&heads[i])
		}
	}
	return slices.DeleteFunc(heads, func(h service.Head) bool { return h.ID == 0 }), err
}

func (l *liar) ListTopics(ctx context.Context, prefix string, after service.TopicName, limit int) ([]service.TopicName, error) {
	names, err := l.Store.ListTopics(ctx, prefix, after, limit)
	return falsify(l.listed, names, err)
}

// Read puts the limit on the lie, as a damaged engine would.
func (l *liar) Read(ctx context.Context, id service.TopicID, from service.Offset, limit int, maxBytes int64) ([]service.Message, error) {
	if l.read != nil {
		l.read()
	}
	if l.log == nil {
		return l.Store.Read(ctx, id, from, limit, maxBytes)
	}
	log, err := l.Store.Read(ctx, id, 0, 1000, maxBytes)
	log = l.log(slices.Clone(log))
	log = slices.DeleteFunc(log, func(m service.Message) bool { return m.Offset < from })
	return log[:min(limit, len(log))], err
}

func (l *liar) ListProducers(ctx context.Context, topic service.TopicID, after service.ProducerID, limit int) ([]service.Producer, error) {
	rows, err := l.Store.ListProducers(ctx, topic, after, limit)
	return falsify(l.producers, rows, err)
}

func (l *liar) ListConsumers(ctx context.Context, topic service.TopicID, after service.ConsumerID, limit int) ([]service.Consumer, error) {
	rows, err := l.Store.ListConsumers(ctx, topic, after, limit)
	return falsify(l.consumers, rows, err)
}

func (l *liar) CountProduced(ctx context.Context, name string, topic service.TopicName) (int64, error) {
	n, err := l.Store.CountProduced(ctx, name, topic)
	return falsify(l.count, n, err)
}

// audited is a store in memory with a topic to audit: offsets 0 … 9, of which p has seqs at 0 … 4
// and q at 7 and 8; 5 and 6 are stored under n, which never opened a session, and 9 under no name.
// A message has two bytes, and each append is a second later than the one before it.
func audited(t *testing.T) *liar {
	t.Helper()
	l := &liar{Store: memory.New(memory.Config{})}
	topic := service.NewTopic{Name: topicName, Incarnation: "i", At: time.Unix(1000, 0)}
	register := func(name string) service.ProducerID {
		p, _, err := l.RegisterProducer(t.Context(), service.ProducerRegistration{Topic: topic, Name: name})
		wantErr(t, "register "+name, err, nil)
		return p.ID
	}
	p, anonymous, q := register("p"), register(""), register("q")
	heads, err := l.Heads(t.Context(), []service.TopicName{topicName})
	wantErr(t, "heads", err, nil)
	for i, r := range []service.AppendRequest{
		{Producer: p, Seq: 0, Payloads: payloads("p0", "p1", "p2")},
		{Producer: p, Seq: 3, Payloads: payloads("p3", "p4")},
		{Producer: anonymous, ProdName: "n", Seq: service.NoSeq, Payloads: payloads("n0", "n1")},
		{Producer: q, Seq: 0, Payloads: payloads("q0", "q1")},
		{Producer: anonymous, Seq: service.NoSeq, Payloads: payloads("xx")},
	} {
		r.Topic = heads[0].ID
		plan, err := l.Append(t.Context(), []service.AppendRequest{r}, time.Unix(2000+int64(i), 0))
		wantErr(t, "append", err, nil)
		if refusal := plan.Results[0].Err; refusal != nil {
			t.Fatal(refusal)
		}
	}
	for name, from := range map[string]service.Start{"": 0, "c": 3, "end": service.FromEnd} {
		_, _, err := l.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: topicName, Name: name, From: from})
		wantErr(t, "register consumer", err, nil)
	}
	return l
}

func audit(t *testing.T, store service.Store) (service.Summary, []string, error) {
	t.Helper()
	var findings []string
	sum, err := service.Audit(t.Context(), store, func(f service.Finding) {
		findings = append(findings, fmt.Sprintf("%s: %s: %s, not %s", f.Topic, f.What, f.Found, f.Expected))
	})
	return sum, findings, err
}

func TestAuditOfAWholeStoreFindsNothing(t *testing.T) {
	t.Parallel()
	for trimmed := range service.Offset(11) {
		l := audited(t)
		heads, err := l.Heads(t.Context(), []service.TopicName{topicName})
		wantErr(t, "heads", err, nil)
		_, err = l.Trim(t.Context(), heads[0].ID, trimmed)
		wantErr(t, "trim", err, nil)
		_, err = l.CreateTopic(t.Context(), service.NewTopic{Name: "empty"})
		wantErr(t, "create", err, nil)
		sum, findings, err := audit(t, l)
		wantErr(t, "audit", err, nil)
		want(t, "findings", findings, nil)
		want(t, "summary", sum, service.Summary{Topics: 2, Messages: int64(10 - trimmed), Producers: 3, Consumers: 3})
	}
}

func TestAuditReportsTheFirstFindingsOfATopic(t *testing.T) {
	t.Parallel()
	l := audited(t)
	l.log = func(log []service.Message) []service.Message {
		for i := range log {
			log[i].CreatedAt = time.Unix(int64(-i), 0)
		}
		return log
	}
	for range 60 {
		heads, err := l.Heads(t.Context(), []service.TopicName{topicName})
		wantErr(t, "heads", err, nil)
		p, _, err := l.RegisterProducer(t.Context(), service.ProducerRegistration{Topic: service.NewTopic{Name: topicName}})
		wantErr(t, "register", err, nil)
		_, err = l.Append(t.Context(), []service.AppendRequest{{
			Topic: heads[0].ID, Producer: p.ID, Seq: service.NoSeq, Payloads: payloads("a", "b", "c"),
		}}, time.Unix(3000, 0))
		wantErr(t, "append", err, nil)
	}
	sum, findings, err := audit(t, l)
	wantErr(t, "audit", err, nil)
	if len(findings) != 100 || sum.Findings <= 180 {
		t.Errorf("%d findings were reported, %d counted", len(findings), sum.Findings)
	}
}

// TestAuditThatCannotCheckFails lets each call of an audit fail in turn.
func TestAuditThatCannotCheckFails(t *testing.T) {
	t.Parallel()
	store, broken := audited(t).Store, errors.New("broken")
	for nth := 0; ; nth++ {
		var calls []string
		sum, findings, err := audit(t, &dbtest.Faulty{Store: store, Before: func(method string) error {
			calls = append(calls, method)
			if len(calls) == nth+1 {
				return broken
			}
			return nil
		}})
		want(t, "findings", findings, nil)
		if len(calls) <= nth {
			wantErr(t, "audit without a failure", err, nil)
			want(t, "topics", sum.Topics, 1)
			for _, method := range []string{"ListTopics", "Heads", "Read", "ListProducers", "CountProduced", "ListConsumers"} {
				if !slices.Contains(calls, method) {
					t.Errorf("%s was never called", method)
				}
			}
			return
		}
		wantErr(t, fmt.Sprintf("audit whose call %d (%s) fails", nth, calls[nth]), err, broken)
	}
}

func TestAuditOfATopicThatMoves(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		move   func(t *testing.T, l *liar, head service.Head, calls int)
		failed bool
		want   service.Summary
	}{
		"deleted": {func(t *testing.T, l *liar, _ service.Head, _ int) {
			t.Helper()
			wantErr(t, "delete", l.DeleteTopic(t.Context(), topicName, time.Time{}), nil)
		}, false, service.Summary{}},
		"replaced": {func(t *testing.T, l *liar, _ service.Head, calls int) {
			t.Helper()
			if calls == 1 {
				wantErr(t, "delete", l.DeleteTopic(t.Context(), topicName, time.Time{}), nil)
				_, err := l.CreateTopic(t.Context(), service.NewTopic{Name: topicName})
				wantErr(t, "create", err, nil)
			}
		}, false, service.Summary{Topics: 1}},
		"trimmed under the reader": {func(t *testing.T, l *liar, head service.Head, calls int) {
			t.Helper()
			if calls == 1 {
				_, err := l.Trim(t.Context(), head.ID, 3)
				wantErr(t, "trim", err, nil)
			}
		}, false, service.Summary{Topics: 1, Messages: 7, Producers: 3, Consumers: 3}},
		"trimmed behind the reader": {func(t *testing.T, l *liar, head service.Head, calls int) {
			t.Helper()
			if calls == 2 {
				_, err := l.Trim(t.Context(), head.ID, 3)
				wantErr(t, "trim", err, nil)
			}
		}, false, service.Summary{Topics: 1, Messages: 10, Producers: 3, Consumers: 3}},
		"again and again": {func(t *testing.T, l *liar, _ service.Head, calls int) {
			t.Helper()
			_, err := l.NewIncarnation(t.Context(), topicName, strconv.Itoa(calls))
			wantErr(t, "new incarnation", err, nil)
		}, true, service.Summary{}},
		"appended to": {func(t *testing.T, l *liar, head service.Head, calls int) {
			t.Helper()
			p, err := l.Producer(t.Context(), topicName, "p")
			wantErr(t, "producer", err, nil)
			_, err = l.Append(t.Context(), []service.AppendRequest{{
				Topic: head.ID, Producer: p.ID, Seq: p.NextSeq, Payloads: payloads("more"),
			}}, time.Unix(3000, 0))
			wantErr(t, "append", err, nil)
			_, _, err = l.RegisterConsumer(t.Context(), service.ConsumerRegistration{
				Topic: topicName, Name: strconv.Itoa(calls), From: service.FromEnd,
			})
			wantErr(t, "register", err, nil)
		}, false, service.Summary{Topics: 1, Messages: 10, Producers: 3, Consumers: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := audited(t)
			heads, err := l.Heads(t.Context(), []service.TopicName{topicName})
			wantErr(t, "heads", err, nil)
			calls := 0
			l.read = func() {
				calls++
				test.move(t, l, heads[0], calls)
			}
			sum, findings, err := audit(t, l)
			if (err != nil) != test.failed {
				t.Errorf("audit: %v", err)
			}
			want(t, "findings", findings, nil)
			want(t, "summary", sum, test.want)
		})
	}
}
