package client

import (
	"errors"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
)

func TestTopicQuota(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := dial(t, apitest.Serve(t).URL, nil)
	want := TopicQuota{BytesPerSecond: 1 << 20, StoredBytes: 5, Producers: 1}
	if err := c.CreateTopic(ctx, "t", WithQuota(want)); err != nil {
		t.Fatal(err)
	}
	if topic, err := c.DescribeTopic(ctx, "t"); err != nil || topic.Quota != want {
		t.Errorf("created: %+v, %v", topic.Quota, err)
	}
	if _, err := c.RegisterProducer(ctx, "t", "p"); err != nil {
		t.Errorf("within the quota: %v", err)
	}
	// How many there are is not waited for: that would be to wait for somebody who removes one.
	began := time.Now()
	_, err := c.RegisterProducer(ctx, "t", "q")
	var refused *Error
	if !errors.Is(err, ErrRateLimited) || !errors.As(err, &refused) || refused.Quota != "topic_producers" || refused.RetryAfter != 10*time.Second || refused.Temporary() {
		t.Errorf("beyond the quota: %+v", err)
	}
	if took := time.Since(began); took >= refused.RetryAfter {
		t.Errorf("it waited %s", took)
	}
	none, two := int64(0), int64(2)
	topic, err := c.SetQuota(ctx, "t", QuotaChange{StoredBytes: &none, Producers: &two})
	if want := (TopicQuota{BytesPerSecond: 1 << 20, Producers: 2}); err != nil || topic.Quota != want {
		t.Errorf("changed: %+v, %v", topic.Quota, err)
	}
	if _, err := c.RegisterProducer(ctx, "t", "q"); err != nil {
		t.Errorf("within the new quota: %v", err)
	}
	if _, err := c.SetQuota(ctx, "t", QuotaChange{}); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("nothing to change: %v", err)
	}
	if _, err := c.SetQuota(ctx, "missing", QuotaChange{Producers: &two}); !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("a missing topic: %v", err)
	}
}

func TestTokenQuota(t *testing.T) {
	t.Parallel()
	secret, as := withTokens(t)
	quota := TokenQuota{BytesPerSecond: 1 << 20, Topics: 1, TopicStoredBytes: 1 << 30, Producers: 2, Consumers: 3}
	made, text, err := as(secret).CreateToken(t.Context(), NewToken{Name: "guest", Scopes: []string{"produce:*"}, Quota: quota})
	if err != nil || made.Quota != quota {
		t.Fatalf("created %+v, %v", made, err)
	}
	guest := as(text)
	if err := guest.CreateTopic(t.Context(), "one"); err != nil {
		t.Errorf("within the quota: %v", err)
	}
	var refused *Error
	if err := guest.CreateTopic(t.Context(), "two"); !errors.As(err, &refused) || refused.Quota != "token_topics" {
		t.Errorf("beyond the quota: %v", err)
	}
	topic, err := guest.DescribeTopic(t.Context(), "one")
	if err != nil || topic.Quota != (TopicQuota{StoredBytes: 1 << 30}) {
		t.Errorf("what its topic may hold: %+v, %v", topic.Quota, err)
	}
	tokens, err := as(secret).ListTokens(t.Context())
	if err != nil || len(tokens) != 2 {
		t.Fatal(tokens, err)
	}
	for _, token := range tokens {
		want := TokenQuota{}
		if token.ID == made.ID {
			want = quota
		}
		if token.Quota != want {
			t.Errorf("listed: %+v", token)
		}
	}
}
