package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/topiq/topiq/client"
)

// quotaFlags say how much there may be of a topic. What is nil stays as it is.
type quotaFlags struct {
	QuotaBytesPerSecond *byteSize `group:"quotas" placeholder:"BYTES" help:"What each broker takes a second, such as 1MiB; 0 is any amount."`
	QuotaStoredBytes    *byteSize `group:"quotas" placeholder:"BYTES" help:"New messages are refused when the topic would hold more, such as 10GiB; 0 is any amount."`
	QuotaProducers      *int64    `group:"quotas" placeholder:"N" help:"How many producers may be registered; 0 is any number."`
	QuotaConsumers      *int64    `group:"quotas" placeholder:"N" help:"How many consumers may be registered; 0 is any number."`
}

// given reports whether there is any of the flags.
func (f *quotaFlags) given() bool { return *f != quotaFlags{} }

func (f *quotaFlags) validate() error {
	return errors.Join(notNegative("--quota-producers", f.QuotaProducers), notNegative("--quota-consumers", f.QuotaConsumers))
}

func notNegative(flag string, n *int64) error {
	if n != nil && *n < 0 {
		return fmt.Errorf("%s must not be negative", flag)
	}
	return nil
}

// change is what the flags change.
func (f *quotaFlags) change() client.QuotaChange {
	return client.QuotaChange{
		BytesPerSecond: (*int64)(f.QuotaBytesPerSecond), StoredBytes: (*int64)(f.QuotaStoredBytes),
		Producers: f.QuotaProducers, Consumers: f.QuotaConsumers,
	}
}

// quota is what the flags say of a new topic.
func (f *quotaFlags) quota() client.TopicQuota {
	c := f.change()
	return client.TopicQuota{
		BytesPerSecond: valueOf(c.BytesPerSecond), StoredBytes: valueOf(c.StoredBytes),
		Producers: valueOf(c.Producers), Consumers: valueOf(c.Consumers),
	}
}

func valueOf(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// quotaFacts are the facts of the quotas of a topic, a dash for what is none.
func quotaFacts(q client.TopicQuota) [][]string {
	return [][]string{
		{"quota_bytes_per_second", numberOrDash(q.BytesPerSecond)},
		{"quota_stored_bytes", numberOrDash(q.StoredBytes)},
		{"quota_producers", numberOrDash(q.Producers)},
		{"quota_consumers", numberOrDash(q.Consumers)},
	}
}

func numberOrDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// tokenQuotaFlags say how much may be done by a new token. What it may do is never taken from the environment.
type tokenQuotaFlags struct {
	QuotaBytesPerSecond   byteSize `env:"-" group:"quotas" placeholder:"BYTES" help:"What each broker takes from its bearers and gives to them a second, together, such as 1MiB."`
	QuotaTopics           int64    `env:"-" group:"quotas" placeholder:"N" help:"How many topics there may be that it has created."`
	QuotaTopicStoredBytes byteSize `env:"-" group:"quotas" placeholder:"BYTES" help:"How much each topic may hold that it creates, such as 10GiB."`
	QuotaProducers        int64    `env:"-" group:"quotas" placeholder:"N" help:"How many producers may be registered that it has registered first."`
	QuotaConsumers        int64    `env:"-" group:"quotas" placeholder:"N" help:"How many consumers may be registered that it has registered first."`
}

func (f *tokenQuotaFlags) quota() client.TokenQuota {
	return client.TokenQuota{
		BytesPerSecond: int64(f.QuotaBytesPerSecond), Topics: f.QuotaTopics, TopicStoredBytes: int64(f.QuotaTopicStoredBytes),
		Producers: f.QuotaProducers, Consumers: f.QuotaConsumers,
	}
}

// tokenQuotaLine is the quotas of a token in a line of JSON.
type tokenQuotaLine struct {
	BytesPerSecond   int64 `json:"bytes_per_second,omitzero"`
	Topics           int64 `json:"topics,omitzero"`
	TopicStoredBytes int64 `json:"topic_stored_bytes,omitzero"`
	Producers        int64 `json:"producers,omitzero"`
	Consumers        int64 `json:"consumers,omitzero"`
}

// quotasOf are the quotas of a token for people.
func quotasOf(q client.TokenQuota) string {
	var parts []string
	for _, part := range []struct {
		name string
		n    int64
	}{
		{"bytes_per_second", q.BytesPerSecond},
		{"topics", q.Topics},
		{"topic_stored_bytes", q.TopicStoredBytes},
		{"producers", q.Producers},
		{"consumers", q.Consumers},
	} {
		if part.n != 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", part.name, part.n))
		}
	}
	return orDash(strings.Join(parts, ","))
}
