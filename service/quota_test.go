package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// under returns a context for calls by a new token with a quota.
func (f *fixture) under(quota service.TokenQuota) context.Context {
	f.t.Helper()
	<-time.After(1) // the clock of a bubble stands still, and the tokens are read as of a moment
	_, text, err := f.CreateToken(f.t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}, Quota: quota})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.as(text)
}

// as returns a context for calls by the token with this text.
func (f *fixture) as(text string) context.Context {
	f.t.Helper()
	grant, err := f.Authenticate(f.t.Context(), text)
	if err != nil || grant == nil {
		f.t.Fatalf("authenticate: %v, %v", grant, err)
	}
	return grant.Context(f.t.Context())
}

// sendBytes produces one message of so many bytes.
func (f *fixture) sendBytes(ctx context.Context, size int) error {
	_, err := f.Produce(ctx, service.ProduceRequest{Topic: topicName, Producer: f.producer, Payloads: payloads(strings.Repeat("x", size))})
	return err
}

// wantQuota requires a refusal by a quota.
func wantQuota(t *testing.T, what string, err error, quota service.Quota, after time.Duration) {
	t.Helper()
	var refusal *service.Error
	if !errors.As(err, &refusal) || refusal.Code != service.CodeRateLimited {
		t.Fatalf("%s: %v, want a refusal by %s", what, err, quota)
	}
	if refusal.Facts.Quota != quota || refusal.Facts.RetryAfter.Round(time.Millisecond) != after {
		t.Errorf("%s: %s, again after %s; want %s, %s", what, refusal.Facts.Quota, refusal.Facts.RetryAfter, quota, after)
	}
}

func (f *fixture) wantNext(what string, next service.Offset) {
	f.t.Helper()
	state, err := f.DescribeTopic(f.t.Context(), topicName)
	wantErr(f.t, what, err, nil)
	want(f.t, what, state.Next, next)
}

// TestTokenPace: what a token sends and gets is held to its rate, and nobody else's.
func TestTokenPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		slow, other := f.under(service.TokenQuota{BytesPerSecond: 100}), f.under(service.TokenQuota{BytesPerSecond: 100})
		wantErr(t, "within the rate", f.sendBytes(slow, 60), nil)
		wantErr(t, "with what was saved", f.sendBytes(slow, 60), nil)
		wantQuota(t, "too soon", f.sendBytes(slow, 1), service.QuotaTokenBytesPerSecond, 200*time.Millisecond)
		f.wantNext("what a refusal has stored", 2)
		wantErr(t, "another token", f.sendBytes(other, 60), nil)
		wantErr(t, "without a token", f.sendBytes(t.Context(), 1000), nil)
		<-time.After(200 * time.Millisecond)
		wantErr(t, "in time", f.sendBytes(slow, 1), nil)

		// One that is larger than a second allows is let through, and paid for.
		<-time.After(10 * time.Second)
		wantErr(t, "a large one", f.sendBytes(slow, 350), nil)
		wantQuota(t, "after a large one", f.sendBytes(slow, 1), service.QuotaTokenBytesPerSecond, 2500*time.Millisecond)
		_, err := f.Read(slow, service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
		wantQuota(t, "read meanwhile", err, service.QuotaTokenBytesPerSecond, 2500*time.Millisecond)
		_, err = f.Consume(slow, service.ConsumeRequest{Topic: topicName, Consumer: f.consumer})
		wantQuota(t, "consume meanwhile", err, service.QuotaTokenBytesPerSecond, 2500*time.Millisecond)
		want(t, "the position after a refusal", f.committed(), 0)
		want(t, "refusals", f.Stats().QuotaRefusals[service.QuotaTokenBytesPerSecond], 4)

		// What is read counts when it is known how much it was.
		<-time.After(10 * time.Second)
		got, err := f.Read(slow, service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0)), Limit: new(2)})
		wantErr(t, "read", err, nil)
		want(t, "messages read", len(got.Messages), 2)
		wantQuota(t, "after the read", f.sendBytes(slow, 1), service.QuotaTokenBytesPerSecond, 200*time.Millisecond)
		<-time.After(10 * time.Second)
		_, err = f.Consume(slow, service.ConsumeRequest{Topic: topicName, Consumer: f.consumer, Limit: new(2)})
		wantErr(t, "consume", err, nil)
		wantQuota(t, "after the consume", f.sendBytes(slow, 1), service.QuotaTokenBytesPerSecond, 200*time.Millisecond)
	})
}

// TestTokenOwesOn: what a token owes is not forgotten when the tokens are read anew.
func TestTokenOwesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		_, text, err := f.CreateToken(t.Context(), service.NewToken{
			Name: "n", Scopes: []service.Scope{"admin"}, Quota: service.TokenQuota{BytesPerSecond: 10},
		})
		wantErr(t, "create", err, nil)
		wantErr(t, "a large one", f.sendBytes(f.as(text), 210), nil)
		for left := 20 * time.Second; left > 0; left -= 5 * time.Second {
			wantQuota(t, "later", f.sendBytes(f.as(text), 1), service.QuotaTokenBytesPerSecond, left)
			<-time.After(5 * time.Second)
			f.under(service.TokenQuota{}) // which reads the tokens
		}
		wantErr(t, "in time", f.sendBytes(f.as(text), 1), nil)
	})
}

// TestTopicPace: what all together send to a topic is held to its rate by each broker, from the moment that it
// knows of it.
func TestTopicPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := pair(t)
		wantErr(t, "before", there.sendBytes(t.Context(), 1000), nil)
		state, err := here.UpdateTopic(t.Context(), topicName, service.TopicChange{
			Quota: &service.QuotaChange{BytesPerSecond: new(int64(100))},
		})
		wantErr(t, "set", err, nil)
		want(t, "quota", state.Quota, service.TopicQuota{BytesPerSecond: 100})
		wantErr(t, "within", here.sendBytes(t.Context(), 150), nil)
		wantQuota(t, "too soon", here.sendBytes(t.Context(), 1), service.QuotaTopicBytesPerSecond, 500*time.Millisecond)

		// A refusal by the topic costs the token nothing.
		slow := here.under(service.TokenQuota{BytesPerSecond: 1})
		wantQuota(t, "by a token", here.sendBytes(slow, 1000), service.QuotaTopicBytesPerSecond, 500*time.Millisecond)
		<-time.After(500 * time.Millisecond)
		wantErr(t, "by the token in time", here.sendBytes(slow, 1), nil)

		// The other broker learns of it by what it stores, and has a pace of its own.
		wantErr(t, "there", there.sendBytes(t.Context(), 1), nil)
		wantErr(t, "there", there.sendBytes(t.Context(), 150), nil)
		wantQuota(t, "there, too soon", there.sendBytes(t.Context(), 1), service.QuotaTopicBytesPerSecond, 500*time.Millisecond)

		_, err = here.UpdateTopic(t.Context(), topicName, service.TopicChange{
			Quota: &service.QuotaChange{BytesPerSecond: new(int64(0))},
		})
		wantErr(t, "take away", err, nil)
		for range 3 {
			wantErr(t, "without a quota", here.sendBytes(t.Context(), 10_000), nil)
		}
	})
}

// TestRefusedSeqIsNotTaken: a message that was refused by its rate is stored under the same seq later, and a repeat of
// one that was stored gets its answer later.
func TestRefusedSeqIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		p, _, err := f.RegisterProducer(t.Context(), topicName, "p", "")
		wantErr(t, "register", err, nil)
		slow := f.under(service.TokenQuota{BytesPerSecond: 10})
		send := func(seq int64) (service.ProduceResult, error) {
			return f.Produce(slow, service.ProduceRequest{
				Topic: topicName, Producer: p.ID, Seq: &seq, Payloads: payloads(strings.Repeat("x", 20)),
			})
		}
		_, err = send(0)
		wantErr(t, "the first", err, nil)
		for seq := range int64(2) {
			_, err = send(seq)
			wantQuota(t, "too soon", err, service.QuotaTokenBytesPerSecond, time.Second)
		}
		<-time.After(time.Second)
		again, err := send(0)
		wantErr(t, "the first again", err, nil)
		if offset, _ := again.Offset(); offset != 0 || !again.Duplicate {
			t.Errorf("the first again is at %d, a duplicate: %t", offset, again.Duplicate)
		}
		<-time.After(2 * time.Second)
		next, err := send(1)
		wantErr(t, "the second", err, nil)
		if offset, _ := next.Offset(); offset != 1 || next.Duplicate {
			t.Errorf("the second is at %d, a duplicate: %t", offset, next.Duplicate)
		}
	})
}

// TestStreamIsPaced: a stream is not refused, it goes as slowly as its token may.
func TestStreamIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for range 4 {
			wantErr(t, "produce", f.sendBytes(t.Context(), page), nil)
		}
		s, err := f.Stream(f.under(service.TokenQuota{BytesPerSecond: page / 2}), service.StreamRequest{Topic: topicName})
		wantErr(t, "stream", err, nil)
		defer s.Close()
		began := time.Now()
		for i, at := range []time.Duration{0, time.Second, 3 * time.Second, 5 * time.Second} {
			f.wantTold(s, 15*time.Second, service.StreamMessages, service.Offset(i+1))
			if took := time.Since(began).Round(time.Millisecond); took != at {
				t.Errorf("message %d came after %s, want %s", i, took, at)
			}
		}
		f.wantTold(s, time.Second, service.StreamIdle, 0) // so that its reader hears something
		f.wantTold(s, 15*time.Second, service.StreamCaughtUp, 4)
		want(t, "refusals", f.Stats().QuotaRefusals[service.QuotaTokenBytesPerSecond], 0)
	})
}

// TestQuotasOfWhatATokenMakes: the broker tells the store who makes something.
func TestQuotasOfWhatATokenMakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	guest := f.under(service.TokenQuota{Topics: 2, TopicStoredBytes: 5, Producers: 1, Consumers: 1})
	head, err := f.CreateTopic(guest, "one", service.TopicChange{Quota: &service.QuotaChange{Producers: new(int64(7))}})
	wantErr(t, "create", err, nil)
	want(t, "quota of a topic of the token", head.Quota, service.TopicQuota{StoredBytes: 5, Producers: 7})
	p, head, err := f.RegisterProducer(guest, "two", "p", "instance")
	wantErr(t, "register", err, nil)
	want(t, "quota of a topic by a register", head.Quota, service.TopicQuota{StoredBytes: 5})
	_, _, err = f.RegisterConsumer(guest, "two", "", service.FromBeginning)
	wantErr(t, "register a consumer", err, nil)

	const after = 10 * time.Second
	_, err = f.CreateTopic(guest, "three", service.TopicChange{})
	wantQuota(t, "create", err, service.QuotaTokenTopics, after)
	_, _, err = f.RegisterProducer(guest, "two", "q", "another")
	wantQuota(t, "register", err, service.QuotaTokenProducers, after)
	_, _, err = f.RegisterProducer(guest, "two", "", "")
	wantQuota(t, "register", err, service.QuotaTokenProducers, after)
	_, _, err = f.RegisterConsumer(guest, "two", "c", service.FromBeginning)
	wantQuota(t, "register a consumer", err, service.QuotaTokenConsumers, after)
	produce := service.ProduceRequest{Topic: "two", Producer: p.ID, Seq: new(int64(0)), Payloads: payloads("123456")}
	_, err = f.Produce(guest, produce)
	wantQuota(t, "produce", err, service.QuotaTopicStoredBytes, after)
	produce.Payloads = payloads("12345")
	_, err = f.Produce(guest, produce)
	wantErr(t, "produce what there is room for", err, nil)
	for quota, n := range map[service.Quota]int64{
		service.QuotaTokenTopics: 1, service.QuotaTokenProducers: 2, service.QuotaTokenConsumers: 1,
		service.QuotaTopicStoredBytes: 1, service.QuotaTopicProducers: 0,
	} {
		want(t, "refusals by "+string(quota), f.Stats().QuotaRefusals[quota], n)
	}
	_, err = f.CreateTopic(t.Context(), "three", service.TopicChange{})
	wantErr(t, "create without the token", err, nil)
}

func TestWrongQuotasAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, open(t, memory.New(memory.Config{}), service.Config{}))
	for field, change := range map[string]service.QuotaChange{
		"quota":            {},
		"bytes_per_second": {BytesPerSecond: new(int64(-1))},
		"stored_bytes":     {StoredBytes: new(int64(service.MaxInteger + 1))},
		"producers":        {Producers: new(int64(-1))},
		"consumers":        {Consumers: new(int64(-1))},
	} {
		_, update := f.UpdateTopic(t.Context(), topicName, service.TopicChange{Quota: &change})
		_, create := f.CreateTopic(t.Context(), "new", service.TopicChange{Quota: &change})
		for _, err := range []error{update, create} {
			var refusal *service.Error
			if !errors.As(err, &refusal) || refusal.Code != service.CodeInvalidRequest || refusal.Facts.Field != field {
				t.Errorf("a wrong %s: %v", field, err)
			}
		}
	}
	_, err := f.UpdateTopic(t.Context(), topicName, service.TopicChange{})
	wantErr(t, "nothing to change", err, service.ErrInvalidRequest)
	_, err = f.UpdateTopic(t.Context(), "missing", service.TopicChange{Quota: &service.QuotaChange{StoredBytes: new(int64(1))}})
	wantErr(t, "a missing topic", err, service.ErrTopicNotFound)
	_, err = f.UpdateTopic(t.Context(), topicName, service.TopicChange{
		Retention: &service.RetentionChange{MaxBytes: new(int64(-1))}, Quota: &service.QuotaChange{StoredBytes: new(int64(1))},
	})
	wantErr(t, "half of a change is wrong", err, service.ErrInvalidRequest)
	state, err := f.DescribeTopic(t.Context(), topicName)
	wantErr(t, "describe", err, nil)
	want(t, "quota after refusals", state.Quota, service.TopicQuota{})
	for _, quota := range []service.TokenQuota{
		{BytesPerSecond: -1}, {Topics: -1}, {TopicStoredBytes: -1}, {Producers: -1}, {Consumers: service.MaxInteger + 1},
	} {
		_, _, err := f.CreateToken(t.Context(), service.NewToken{Name: "n", Scopes: []service.Scope{"admin"}, Quota: quota})
		wantErr(t, "a wrong quota of a token", err, service.ErrInvalidRequest)
	}
}
