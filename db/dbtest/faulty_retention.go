package dbtest

import (
	"context"
	"time"

	"github.com/topiq/topiq/service"
)

// Retention implements service.Store.
func (f *Faulty) Retention(ctx context.Context, topic service.TopicID) (service.Retention, error) {
	return one(f, "Retention", func() (service.Retention, error) { return f.Store.Retention(ctx, topic) })
}

// SetRetention implements service.Store.
func (f *Faulty) SetRetention(
	ctx context.Context, topic service.TopicName, change service.RetentionChange,
) (service.Head, service.Retention, error) {
	return two(f, "SetRetention", func() (service.Head, service.Retention, error) {
		return f.Store.SetRetention(ctx, topic, change)
	})
}

// SetQuota implements service.Store.
func (f *Faulty) SetQuota(
	ctx context.Context, topic service.TopicName, change service.QuotaChange,
) (service.Head, error) {
	return one(f, "SetQuota", func() (service.Head, error) { return f.Store.SetQuota(ctx, topic, change) })
}

// ListRetained implements service.Store.
func (f *Faulty) ListRetained(ctx context.Context, after service.TopicID, limit int) ([]service.Retained, error) {
	return one(f, "ListRetained", func() ([]service.Retained, error) { return f.Store.ListRetained(ctx, after, limit) })
}

// FindExcess implements service.Store.
func (f *Faulty) FindExcess(
	ctx context.Context, topic service.TopicID, from service.Offset, bytes int64, limit int,
) (service.Offset, error) {
	return one(f, "FindExcess", func() (service.Offset, error) {
		return f.Store.FindExcess(ctx, topic, from, bytes, limit)
	})
}

// Touch implements service.Store.
func (f *Faulty) Touch(
	ctx context.Context, producers []service.ProducerID, consumers []service.ConsumerID, at time.Time,
) error {
	return none(f, "Touch", func() error { return f.Store.Touch(ctx, producers, consumers, at) })
}

// ForgetUnused implements service.Store.
func (f *Faulty) ForgetUnused(ctx context.Context, since time.Time, limit int) (int, error) {
	return one(f, "ForgetUnused", func() (int, error) { return f.Store.ForgetUnused(ctx, since, limit) })
}
