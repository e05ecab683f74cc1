package client

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := dial(t, apitest.Serve(t).URL, nil)
	want := Retention{MaxAge: time.Hour, MaxBytes: 1 << 40, KeepFor: []string{"a", "b"}}
	if err := c.CreateTopic(ctx, "t", WithRetention(Retention{MaxAge: time.Hour, MaxBytes: 1 << 40, KeepFor: []string{"b", "a"}})); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(ctx, "u"); err != nil {
		t.Fatal(err)
	}
	if topic, err := c.DescribeTopic(ctx, "u"); err != nil || !reflect.DeepEqual(topic.Retention, Retention{}) {
		t.Errorf("a topic that keeps everything: %+v, %v", topic.Retention, err)
	}
	if topic, err := c.DescribeTopic(ctx, "t"); err != nil || !reflect.DeepEqual(topic.Retention, want) {
		t.Errorf("created: %+v, %v", topic.Retention, err)
	}
	none, age, messages := int64(0), 1500*time.Millisecond, int64(7)
	topic, err := c.SetRetention(ctx, "t", RetentionChange{MaxBytes: &none, MaxAge: &age, MaxMessages: &messages})
	want = Retention{MaxAge: 2 * time.Second, MaxMessages: 7, KeepFor: []string{"a", "b"}}
	if err != nil || !reflect.DeepEqual(topic.Retention, want) || topic.Name != "t" {
		t.Errorf("changed: %+v, %v", topic, err)
	}
	topic, err = c.SetRetention(ctx, "t", RetentionChange{KeepFor: []string{}})
	if want.KeepFor = nil; err != nil || !reflect.DeepEqual(topic.Retention, want) {
		t.Errorf("nobody is waited for: %+v, %v", topic.Retention, err)
	}
	if _, err := c.SetRetention(ctx, "t", RetentionChange{}); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("nothing to change: %v", err)
	}
	if _, err := c.SetRetention(ctx, "missing", RetentionChange{MaxAge: &age}); !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("a missing topic: %v", err)
	}
}
