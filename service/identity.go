package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/topiq/topiq/fault"
)

// renewAttempts is how often a call is repeated because a topic in it was foreign. Once is enough,
// unless another backup is put back, or another standby promoted, in between.
const renewAttempts = 3

// Foreign decides whether a topic belongs to another database than the one it was found in (P13):
// stored is the identity of the database that the topic was last created or appended under, current
// that of the database it was read from. They differ after a backup was put back, and after a
// failover that may have lost what was acknowledged. A topic without an identity was stored by a
// version of topiq that wrote none; nothing can be told of it, and it is taken as it is.
//
// A topic gets its identity when it is created, not with its first append only. A backup may have
// been made between the two: were the empty topic that it brings back taken as it is, all that was
// appended since would be forgotten, and its offsets given out again.
func Foreign(stored, current string) bool {
	return stored != "" && stored != current && !fault.Mistake("identity_ignored")
}

// foreignError says that a call met topics that must be renewed before anything is decided on them.
type foreignError struct{ topics []TopicName }

func (e *foreignError) Error() string {
	return fmt.Sprintf("topics of another database, which must be renewed first: %q", e.topics)
}

// CheckDatabase refuses foreign topics. Engines call it in the middle of their transactions, on
// heads read under their locks, before anything is decided. The refusal is unavailable: nothing was
// done, and the same call can succeed once Renew has been called.
func CheckDatabase(heads map[TopicID]Head) error {
	var foreign []TopicName
	for id := range heads {
		if head := heads[id]; head.Foreign {
			foreign = append(foreign, head.Name)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	slices.Sort(foreign)
	return ErrUnavailable.Because(&foreignError{foreign})
}

// CheckOwn is CheckDatabase for one head.
func CheckOwn(head Head) error { return CheckDatabase(map[TopicID]Head{head.ID: head}) }

// recognizing is the store as the broker sees it: no topic in it is foreign. Where a call meets one,
// the topic is first given a new incarnation, and the call is made again. So clients that name the
// old one are refused, and the others at least get answers of one history only.
//
// It does not matter how many brokers find a topic foreign at the same time, nor whether all of them
// were started anew since: what is compared is stored with the topic, and Store.Renew compares it
// again under the lock of the head, so that the first renews the topic and the others find it
// renewed.
type recognizing struct {
	Store

	newToken func() string
	renewed  func(ctx context.Context, head Head)
}

// renew gives foreign topics new incarnations.
func (s *recognizing) renew(ctx context.Context, names []TopicName) error {
	for _, name := range names {
		token := s.newToken()
		head, err := s.Renew(ctx, name, token)
		if errors.Is(err, ErrTopicNotFound) {
			continue // deleted meanwhile, which the call finds out by itself
		}
		if err != nil {
			// Whether this renewal was done is not what the caller asked about.
			return ErrUnavailable.Because(fmt.Errorf("renew topic %s: %s", name, err.Error()))
		}
		if head.Incarnation == token {
			s.renewed(ctx, head)
		}
	}
	return nil
}

// own makes a call again until it meets no foreign topic.
func own[A any](ctx context.Context, s *recognizing, call func() (A, error)) (A, error) {
	for attempt := 1; ; attempt++ {
		answer, err := call()
		foreign := (*foreignError)(nil)
		if attempt == renewAttempts || !errors.As(err, &foreign) {
			return answer, err
		}
		if err := s.renew(ctx, foreign.topics); err != nil {
			var none A
			return none, err
		}
	}
}

type pairOf[A, B any] struct {
	a A
	b B
}

func own2[A, B any](ctx context.Context, s *recognizing, call func() (A, B, error)) (A, B, error) {
	p, err := own(ctx, s, func() (p pairOf[A, B], err error) {
		p.a, p.b, err = call()
		return p, err
	})
	return p.a, p.b, err
}

func own0(ctx context.Context, s *recognizing, call func() error) error {
	_, err := own(ctx, s, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Heads implements Store. It stays a plain read as long as no topic is foreign.
func (s *recognizing) Heads(ctx context.Context, names []TopicName) ([]Head, error) {
	return own(ctx, s, func() ([]Head, error) {
		heads, err := s.Store.Heads(ctx, names)
		if err != nil {
			return nil, err
		}
		var foreign []TopicName
		for i := range heads {
			if heads[i].Foreign {
				foreign = append(foreign, heads[i].Name)
			}
		}
		if len(foreign) > 0 {
			return nil, ErrUnavailable.Because(&foreignError{foreign})
		}
		return heads, nil
	})
}

// RegisterProducer implements Store.
func (s *recognizing) RegisterProducer(ctx context.Context, r ProducerRegistration) (Producer, Head, error) {
	return own2(ctx, s, func() (Producer, Head, error) { return s.Store.RegisterProducer(ctx, r) })
}

// UnregisterProducer implements Store.
func (s *recognizing) UnregisterProducer(ctx context.Context, topic TopicName, id ProducerID) error {
	return own0(ctx, s, func() error { return s.Store.UnregisterProducer(ctx, topic, id) })
}

// Producer implements Store.
func (s *recognizing) Producer(ctx context.Context, topic TopicName, name string) (Producer, error) {
	return own(ctx, s, func() (Producer, error) { return s.Store.Producer(ctx, topic, name) })
}

// Append implements Store.
func (s *recognizing) Append(ctx context.Context, requests []AppendRequest, now time.Time) (AppendPlan, error) {
	return own(ctx, s, func() (AppendPlan, error) { return s.Store.Append(ctx, requests, now) })
}

// RegisterConsumer implements Store.
func (s *recognizing) RegisterConsumer(ctx context.Context, r ConsumerRegistration) (Consumer, Head, error) {
	return own2(ctx, s, func() (Consumer, Head, error) { return s.Store.RegisterConsumer(ctx, r) })
}

// UnregisterConsumer implements Store.
func (s *recognizing) UnregisterConsumer(ctx context.Context, topic TopicName, id ConsumerID) error {
	return own0(ctx, s, func() error { return s.Store.UnregisterConsumer(ctx, topic, id) })
}

// Move implements Store.
func (s *recognizing) Move(ctx context.Context, requests []MoveRequest, tail ReadFunc, now time.Time) ([]MoveResult, error) {
	return own(ctx, s, func() ([]MoveResult, error) { return s.Store.Move(ctx, requests, tail, now) })
}

// Seek implements Store.
func (s *recognizing) Seek(ctx context.Context, r SeekRequest, now time.Time) (Consumer, error) {
	return own(ctx, s, func() (Consumer, error) { return s.Store.Seek(ctx, r, now) })
}

// SetQuota implements Store.
func (s *recognizing) SetQuota(ctx context.Context, name TopicName, change QuotaChange) (Head, error) {
	return own(ctx, s, func() (Head, error) { return s.Store.SetQuota(ctx, name, change) })
}

// CommitOffsets implements Store.
func (s *recognizing) CommitOffsets(ctx context.Context, commits []OffsetCommit, now time.Time) error {
	return own0(ctx, s, func() error { return s.Store.CommitOffsets(ctx, commits, now) })
}
