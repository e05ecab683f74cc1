package service

import (
	"context"
	"errors"
	"slices"
	"time"
)

// readTimeout is how long one shared read may take.
const readTimeout = 10 * time.Second

// TopicState describes a topic.
type TopicState struct {
	Head
	Producers, Consumers int64
}

// CreateTopic creates a topic. Errors: invalid_request, topic_exists.
func (b *Broker) CreateTopic(ctx context.Context, name TopicName) (Head, error) {
	if err := CheckName("name", name); err != nil {
		return Head{}, err
	}
	generation, at := b.topics.generation(), time.Now()
	head, err := b.store.CreateTopic(ctx, b.newTopic(name))
	if err != nil {
		return Head{}, err
	}
	b.topics.observe(head, at, generation)
	return head, nil
}

func (b *Broker) newTopic(name TopicName) NewTopic {
	return NewTopic{Name: name, Incarnation: b.config.NewToken(), At: b.now()}
}

func (b *Broker) now() time.Time { return b.config.Now().UTC().Truncate(time.Microsecond) }

// ListTopics lists topic names in byte order that start with prefix and come after after, at most
// limit (nil = the default). next is what to send as after for the rest, "" when there is none.
func (b *Broker) ListTopics(ctx context.Context, prefix string, after TopicName, limit *int) (names []TopicName, next TopicName, err error) {
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
	names, err = b.store.ListTopics(ctx, prefix, after, n+1)
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
	if err := CheckName("topic", name); err != nil {
		return TopicState{}, err
	}
	head, err := b.freshHead(ctx, name)
	if err != nil {
		return TopicState{}, err
	}
	producers, consumers, err := b.store.CountClients(ctx, head.ID)
	if err != nil {
		return TopicState{}, err
	}
	return TopicState{Head: head, Producers: producers, Consumers: consumers}, nil
}

// DeleteTopic deletes a topic with all its messages, producers and consumers. Errors:
// invalid_request, topic_not_found.
func (b *Broker) DeleteTopic(ctx context.Context, name TopicName) error {
	if err := CheckName("topic", name); err != nil {
		return err
	}
	if err := b.store.DeleteTopic(ctx, name, b.now()); err != nil {
		return err
	}
	b.topics.forget(name, time.Now())
	b.sweepSoon()
	return nil
}

// knownTopic returns a topic of that name, from memory if it was ever seen, else from the store.
// It may have been deleted or replaced by another broker since: it is for work that the store
// decides on again. The caller releases it.
func (b *Broker) knownTopic(ctx context.Context, name TopicName) (*topic, error) {
	t := b.topics.use(name)
	if t == nil {
		return b.freshTopic(ctx, name)
	}
	if err := t.faulty(); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

// trustedTopic returns a topic whose incarnation was confirmed within the last second, so that
// its messages may be answered from memory (P12). A caller that is about to refuse because of
// what it found asks freshTopic first. The caller releases it.
func (b *Broker) trustedTopic(ctx context.Context, name TopicName) (*topic, error) {
	t, err := b.knownTopic(ctx, name)
	if err != nil || !b.props.Shared {
		return t, err
	}
	if _, confirmedAt, _ := t.snapshot(); time.Since(confirmedAt) <= trusted {
		return t, nil
	}
	t.release()
	return b.freshTopic(ctx, name)
}

// freshTopic returns a topic as rows show it that are read after the call. ErrTopicNotFound. The
// caller releases it.
func (b *Broker) freshTopic(ctx context.Context, name TopicName) (*topic, error) {
	// Reading puts the topic into the cache, unless another one was taken out meanwhile; then it
	// is read again. Removals are rare.
	for range 100 {
		if _, err := b.readHead(ctx, name); err != nil {
			return nil, err
		}
		if t := b.topics.use(name); t != nil {
			if err := t.faulty(); err != nil {
				t.release()
				return nil, err
			}
			return t, nil
		}
	}
	return nil, ErrOverloaded
}

// freshHead returns the head of a topic as of now or later (P12). ErrTopicNotFound.
func (b *Broker) freshHead(ctx context.Context, name TopicName) (Head, error) {
	if !b.props.Shared {
		if t := b.topics.use(name); t != nil {
			defer t.release()
			if err := t.faulty(); err != nil {
				return Head{}, err
			}
			if head, certain := t.certain(); certain {
				return head, nil
			}
		}
	}
	return b.readHead(ctx, name)
}

// readHead reads a head from the store. Concurrent callers share one read that begins after each
// of them has called.
func (b *Broker) readHead(ctx context.Context, name TopicName) (Head, error) {
	head, err := b.heads.do(ctx, BucketOf(name), name, int64(len(name)))
	if errors.Is(err, ErrOutcomeUnknown) {
		return Head{}, context.Cause(ctx) // a read has no outcome
	}
	return head, err
}

// readHeads is the work of the heads' lanes.
func (b *Broker) readHeads(_ int, group []*job[TopicName, Head]) {
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
func (b *Broker) loadHeads(ctx context.Context, names []TopicName) (map[TopicName]Head, error) {
	generation, at := b.topics.generation(), time.Now()
	heads, err := b.store.Heads(ctx, names)
	if err != nil {
		return nil, err
	}
	found := make(map[TopicName]Head, len(heads))
	for _, head := range heads {
		found[head.Name] = head
		b.topics.observe(head, at, generation)
	}
	for _, name := range names {
		if _, ok := found[name]; !ok && b.topics.known(name) {
			b.topics.forget(name, at)
		}
	}
	return found, nil
}

// pollHeads looks for what other brokers appended to topics somebody waits on here (P12).
func (b *Broker) pollHeads(ctx context.Context) {
	for names := range slices.Chunk(b.topics.waitedOn(), 1000) {
		if _, err := b.loadHeads(ctx, names); err != nil {
			b.log.WarnContext(ctx, "reading heads for long polls failed", "error", err)
			return
		}
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
