package api

import (
	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// What convert.go is, for quotas.

func topicChange(kept *wire.RetentionChange, quota *wire.TopicQuotaChange) service.TopicChange {
	change := service.TopicChange{Retention: retentionChange(kept)}
	if quota != nil {
		change.Quota = &service.QuotaChange{
			BytesPerSecond: quota.BytesPerSecond, StoredBytes: quota.StoredBytes,
			Producers: quota.Producers, Consumers: quota.Consumers,
		}
	}
	return change
}

func topicQuota(q *service.TopicQuota) wire.TopicQuota {
	return wire.TopicQuota{
		BytesPerSecond: optional(q.BytesPerSecond), StoredBytes: optional(q.StoredBytes),
		Producers: optional(q.Producers), Consumers: optional(q.Consumers),
	}
}

func newTokenQuota(q *wire.TokenQuota) service.TokenQuota {
	if q == nil {
		return service.TokenQuota{}
	}
	return service.TokenQuota{
		BytesPerSecond: valueOf(q.BytesPerSecond), Topics: valueOf(q.Topics), TopicStoredBytes: valueOf(q.TopicStoredBytes),
		Producers: valueOf(q.Producers), Consumers: valueOf(q.Consumers),
	}
}

func tokenQuota(q *service.TokenQuota) *wire.TokenQuota {
	if *q == (service.TokenQuota{}) {
		return nil
	}
	return &wire.TokenQuota{
		BytesPerSecond: optional(q.BytesPerSecond), Topics: optional(q.Topics), TopicStoredBytes: optional(q.TopicStoredBytes),
		Producers: optional(q.Producers), Consumers: optional(q.Consumers),
	}
}
