package service

import (
	"context"
	"slices"
	"time"
)

// readTimeout is how long one shared read may take.
const readTimeout = 10 * time.Second

// resolveAttempts is how often a name is resolved anew because its topic was replaced meanwhile.
const resolveAttempts = 10

// TopicState describes a topic.
type TopicState struct {
	Head
	Retention            Retention
	Producers, Consumers int64
}

// TopicChange is what may be said of a topic. What is nil stays as it is, or as it is by itself: everything is
// kept, and there are no quotas.
type TopicChange struct {
	Retention *RetentionChange
	Quota     *QuotaChange
}

func (c *TopicChange) check() error {
	if c.Retention != nil {
		if err := c.Retention.check(); err != nil {
			return err
		}
	}
	if c.Quota != nil {
		return c.Quota.check()
	}
	return nil
}

// CreateTopic creates a topic of which is kept and allowed what is said. Errors: invalid_request, topic_exists,
// rate_limited.
func (b *Broker) CreateTopic(ctx context.Context, name TopicName, what TopicChange) (Head, error) {
	if err := b.enter(); err != nil {
		return Head{}, err
	}
	defer b.leave()
	if err := CheckName("name", name); err != nil {
		return Head{}, err
	}
	if err := what.check(); err != nil {
		return Head{}, err
	}
	topic := b.newTopic(ctx, name)
	if what.Retention != nil {
		topic.Retention = what.Retention.Apply(Retention{})
	}
	if what.Quota != nil {
		topic.Quota = what.Quota.Apply(topic.Quota)
	}
	head, err := b.store.CreateTopic(ctx, topic)
	return head, b.counters.refusedByQuota(err)
}

// newTopic is a topic to create, made by the token that the call comes by.
func (b *Broker) newTopic(ctx context.Context, name TopicName) NewTopic {
	topic := NewTopic{Name: name, Incarnation: b.config.NewToken(), At: b.now()}
	if g := grantIn(ctx); g != nil {
		topic.Maker, topic.Quota.StoredBytes = g.maker(), g.quota.TopicStoredBytes
	}
	return topic
}

func (b *Broker) now() time.Time { return b.config.Now().UTC().Truncate(time.Microsecond) }

// ListTopics lists topic names in byte order that start with prefix and come after after, at most
// limit (nil = the default). next is what to send as after for the rest, "" when there is none.
func (b *Broker) ListTopics(ctx context.Context, prefix string, after TopicName, limit *int) (names []TopicName, next TopicName, err error) {
	return b.listTopics(ctx, prefix, after, limit, func(ctx context.Context, n int) ([]TopicName, error) {
		return b.store.ListTopics(ctx, prefix, after, n)
	})
}

// listTopics is ListTopics with the look into the store, for at most n names, left to list.
func (b *Broker) listTopics(
	ctx context.Context, prefix string, after TopicName, limit *int, list func(ctx context.Context, n int) ([]TopicName, error),
) (names []TopicName, next TopicName, err error) {
	if err := b.enter(); err != nil {
		return nil, "", err
	}
	defer b.leave()
	if err := checkOptionalPrefix("prefix", prefix); err != nil {
		return nil, "", err
	}
	if err := checkOptionalPrefix("after", string(after)); err != nil {
		return nil, "", err
	}
	n, err := b.limits.page(limit)
	if err != nil {
		return nil, "", err
	}
	names, err = list(ctx, n+1)
	if err != nil {
		return nil, "", err
	}
	if len(names) > n {
		names = names[:n]
		next = names[n-1]
	}
	return names, next, nil
}

// DescribeTopic describes a topic. Errors: invalid_request, topic_not_found.
func (b *Broker) DescribeTopic(ctx context.Context, name TopicName) (TopicState, error) {
	if err := b.enter(); err != nil {
		return TopicState{}, err
	}
	defer b.leave()
	if err := CheckName("topic", name); err != nil {
		return TopicState{}, err
	}
	head, err := b.readHead(ctx, name)
	if err != nil {
		return TopicState{}, err
	}
	kept, err := b.store.Retention(ctx, head.ID)
	if err != nil {
		return TopicState{}, err
	}
	return b.topicState(ctx, head.Head, kept)
}

func (b *Broker) topicState(ctx context.Context, head Head, kept Retention) (TopicState, error) {
	producers, consumers, err := b.store.CountClients(ctx, head.ID)
	if err != nil {
		return TopicState{}, err
	}
	return TopicState{Head: head, Retention: kept, Producers: producers, Consumers: consumers}, nil
}

// UpdateTopic changes what is kept of a topic and what is allowed of it, durably before it returns, and describes the
// topic. It may be repeated blindly. What is to go goes in the background. This broker keeps to another rate at
// once, the others from the next time on that they look at the topic, at the latest with the next message that they
// store; all other quotas count everywhere at once. Errors: invalid_request, topic_not_found, unavailable,
// outcome_unknown, storage_full.
func (b *Broker) UpdateTopic(ctx context.Context, name TopicName, change TopicChange) (TopicState, error) {
	if err := b.enter(); err != nil {
		return TopicState{}, err
	}
	defer b.leave()
	if err := CheckName("topic", name); err != nil {
		return TopicState{}, err
	}
	if change == (TopicChange{}) {
		return TopicState{}, Invalid("retention", "send at least one of retention and quota")
	}
	if err := change.check(); err != nil {
		return TopicState{}, err
	}
	head, err := repeatChange(ctx, b, func(ctx context.Context) (head Head, err error) {
		if change.Quota != nil {
			if head, err = b.store.SetQuota(ctx, name, *change.Quota); err != nil {
				return head, err
			}
		}
		if change.Retention != nil {
			head, _, err = b.store.SetRetention(ctx, name, *change.Retention)
		}
		return head, err
	})
	if err != nil {
		return TopicState{}, err
	}
	if change.Quota != nil {
		// So that this broker knows the new rate. What it appends from now on tells it too: an append that had the
		// old head under its lock began before this read.
		if _, err := b.readHead(ctx, name); err != nil {
			return TopicState{}, err
		}
	}
	kept, err := b.store.Retention(ctx, head.ID)
	if err != nil {
		return TopicState{}, err
	}
	return b.topicState(ctx, head, kept)
}

// DeleteTopic deletes a topic with all its messages, producers and consumers. Errors:
// invalid_request, topic_not_found.
func (b *Broker) DeleteTopic(ctx context.Context, name TopicName) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := CheckName("topic", name); err != nil {
		return err
	}
	known := b.topics.entries([]TopicName{name})[name]
	err := b.store.DeleteTopic(ctx, name, b.now())
	switch {
	case err == nil:
		if known != nil {
			b.topics.forget(known)
		}
		b.sweepSoon()
	case known != nil:
		// It may be deleted: what is known must not be answered, and who waits must look.
		b.topics.tailBytes.Add(-known.refresh())
	}
	return err
}

// knownTopic returns a topic of that name, from memory if it was ever seen, else from the store.
// It may have been deleted or replaced since: it is for work that the store decides on again. The
// caller releases it.
func (b *Broker) knownTopic(ctx context.Context, name TopicName) (*topic, error) {
	t := b.topics.use(name)
	if t == nil {
		return b.freshTopic(ctx, name)
	}
	if t.faulty() != nil { // only this life of the topic is
		t.release()
		return b.freshTopic(ctx, name)
	}
	return t, nil
}

// freshTopic returns a topic as rows show it that are read after the call. ErrTopicNotFound. The
// caller releases it.
func (b *Broker) freshTopic(ctx context.Context, name TopicName) (*topic, error) {
	head, err := b.readHead(ctx, name)
	if err != nil {
		return nil, err
	}
	return usable(b.topics.take(head.Head, head.at))
}

// usable refuses a topic that is stopped.
func usable(t *topic) (*topic, error) {
	if err := t.faulty(); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

// view is a topic with a head that was read after somebody asked for it, and a channel that was
// taken before that read: it is closed by whatever the read does not show. So nothing can slip
// between looking and sleeping (P12).
type view struct {
	*topic
	head     Head
	advanced <-chan struct{}
}

// look reads a topic's head. The caller releases the view.
func (b *Broker) look(ctx context.Context, name TopicName) (view, error) {
	t, err := b.knownTopic(ctx, name)
	for err == nil {
		_, _, advanced := t.known()
		var head headRead
		if head, err = b.readHead(ctx, name); err != nil {
			t.release()
			break
		}
		now := b.topics.take(head.Head, head.at)
		t.release()
		if now == t {
			return view{t, head.Head, advanced}, nil
		}
		t, err = usable(now) // another life of the topic: look at that one
	}
	return view{}, err
}

// headRead is a head with the time when the read began that it comes from.
type headRead struct {
	Head
	at time.Time
}

// readHead reads a head from the store. Concurrent callers share one read that begins after each
// of them has called. ErrTopicNotFound.
func (b *Broker) readHead(ctx context.Context, name TopicName) (headRead, error) {
	if head, ok := b.notified(name); ok {
		return head, nil
	}
	head, err := b.heads.do(ctx, BucketOf(name), name, int64(len(name)))
	return head, readError(ctx, err)
}

// readError is the error of a shared read. A read has no outcome that could be unknown: a caller
// that goes away has simply got nothing.
func readError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ErrUnavailable.Because(context.Cause(ctx))
	}
	return err
}

// readHeads is the work of the heads' lanes.
func (b *Broker) readHeads(_ int, group []*job[TopicName, headRead]) {
	names := make([]TopicName, len(group))
	for i, j := range group {
		names[i] = j.req
	}
	slices.Sort(names)
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	found, err := b.loadHeads(ctx, slices.Compact(names))
	for _, j := range group {
		head, ok := found[j.req]
		switch {
		case err != nil:
			j.err = err
		case !ok:
			j.err = ErrTopicNotFound
		default:
			j.res = head
		}
	}
}

// loadHeads reads heads and takes them into the cache; topics that are not there are taken out.
func (b *Broker) loadHeads(ctx context.Context, names []TopicName) (map[TopicName]headRead, error) {
	known, at := b.topics.entries(names), time.Now()
	heads, err := b.store.Heads(ctx, names)
	if err != nil {
		return nil, err
	}
	found := make(map[TopicName]headRead, len(heads))
	for _, head := range heads {
		found[head.Name] = headRead{head, at}
		b.topics.take(head, at).release()
	}
	for name, t := range known {
		if _, ok := found[name]; !ok {
			b.topics.forget(t)
		}
	}
	return found, nil
}

// hint wakes those who wait for a topic that another broker may have appended to (P12): they look
// again. Nobody sleeps through it: whoever is about to sleep has taken the channel before the head
// was read.
func (b *Broker) hint(name TopicName) {
	if t := b.topics.entries([]TopicName{name})[name]; t != nil {
		t.news()
	}
}

func (b *Broker) evict(context.Context) {
	b.topics.evict()
	b.positions.evict(time.Now())
}

// checkOptionalPrefix checks the beginning of a name: its characters, and its length.
func checkOptionalPrefix(field, prefix string) error {
	if prefix == "." || prefix == ".." {
		return nil // not names, but the beginnings of some
	}
	return checkOptionalName(field, prefix)
}
