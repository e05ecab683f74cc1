package dbtest

import (
	"context"
	"time"

	"github.com/topiq/topiq/service"
)

// Faulty is a store whose calls can be made to fail, to lose their answer, or to wait. Its hooks
// get the name of the method, are called by many goroutines at once, and may block for as long as
// a test wants the call to take. Set them before the store is used.
//
// Every method is written out: a new method of service.Store must not slip past the hooks.
type Faulty struct {
	// Store does the work.
	Store service.Store
	// Before is called before each call. An error is the answer, and nothing has happened.
	Before func(method string) error
	// After is called after each call that succeeded. An error is the answer, though what was
	// asked for has happened.
	After func(method string) error
}

var _ service.Store = (*Faulty)(nil)

func (f *Faulty) before(method string) error {
	if f.Before == nil {
		return nil
	}
	return f.Before(method)
}

func (f *Faulty) after(method string) error {
	if f.After == nil {
		return nil
	}
	return f.After(method)
}

func none(f *Faulty, method string, do func() error) error {
	_, err := one(f, method, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

func one[A any](f *Faulty, method string, do func() (A, error)) (A, error) {
	a, _, err := two(f, method, func() (A, struct{}, error) {
		a, err := do()
		return a, struct{}{}, err
	})
	return a, err
}

func two[A, B any](f *Faulty, method string, do func() (A, B, error)) (A, B, error) {
	var noA A
	var noB B
	if err := f.before(method); err != nil {
		return noA, noB, err
	}
	a, b, err := do()
	if err == nil {
		if err := f.after(method); err != nil {
			return noA, noB, err
		}
	}
	return a, b, err
}

// Properties implements service.Store. It cannot fail.
func (f *Faulty) Properties() service.Properties { return f.Store.Properties() }

// Watch implements service.Store. It cannot fail.
func (f *Faulty) Watch(ctx context.Context, appended func(service.TopicName)) {
	f.Store.Watch(ctx, appended)
}

// Ping implements service.Store.
func (f *Faulty) Ping(ctx context.Context) error {
	return none(f, "Ping", func() error { return f.Store.Ping(ctx) })
}

// Close implements service.Store.
func (f *Faulty) Close() error { return none(f, "Close", func() error { return f.Store.Close() }) }

// CreateTopic implements service.Store.
func (f *Faulty) CreateTopic(ctx context.Context, topic service.NewTopic) (service.Head, error) {
	return one(f, "CreateTopic", func() (service.Head, error) { return f.Store.CreateTopic(ctx, topic) })
}

// Heads implements service.Store.
func (f *Faulty) Heads(ctx context.Context, names []service.TopicName) ([]service.Head, error) {
	return one(f, "Heads", func() ([]service.Head, error) { return f.Store.Heads(ctx, names) })
}

// Changed implements service.Store.
func (f *Faulty) Changed(ctx context.Context, seen []service.Head) ([]service.TopicName, error) {
	return one(f, "Changed", func() ([]service.TopicName, error) { return f.Store.Changed(ctx, seen) })
}

// ListTopics implements service.Store.
func (f *Faulty) ListTopics(
	ctx context.Context, prefix string, after service.TopicName, limit int,
) ([]service.TopicName, error) {
	return one(f, "ListTopics", func() ([]service.TopicName, error) {
		return f.Store.ListTopics(ctx, prefix, after, limit)
	})
}

// CountClients implements service.Store.
func (f *Faulty) CountClients(ctx context.Context, topic service.TopicID) (producers, consumers int64, err error) {
	return two(f, "CountClients", func() (int64, int64, error) { return f.Store.CountClients(ctx, topic) })
}

// DeleteTopic implements service.Store.
func (f *Faulty) DeleteTopic(ctx context.Context, name service.TopicName, at time.Time) error {
	return none(f, "DeleteTopic", func() error { return f.Store.DeleteTopic(ctx, name, at) })
}

// NewIncarnation implements service.Store.
func (f *Faulty) NewIncarnation(
	ctx context.Context, name service.TopicName, incarnation string,
) (service.Head, error) {
	return one(f, "NewIncarnation", func() (service.Head, error) {
		return f.Store.NewIncarnation(ctx, name, incarnation)
	})
}

// Renew implements service.Store.
func (f *Faulty) Renew(ctx context.Context, name service.TopicName, incarnation string) (service.Head, error) {
	return one(f, "Renew", func() (service.Head, error) { return f.Store.Renew(ctx, name, incarnation) })
}

// Sweep implements service.Store.
func (f *Faulty) Sweep(ctx context.Context, limit int) (int, error) {
	return one(f, "Sweep", func() (int, error) { return f.Store.Sweep(ctx, limit) })
}

// RegisterProducer implements service.Store.
func (f *Faulty) RegisterProducer(
	ctx context.Context, r service.ProducerRegistration,
) (service.Producer, service.Head, error) {
	return two(f, "RegisterProducer", func() (service.Producer, service.Head, error) {
		return f.Store.RegisterProducer(ctx, r)
	})
}

// UnregisterProducer implements service.Store.
func (f *Faulty) UnregisterProducer(ctx context.Context, topic service.TopicName, id service.ProducerID) error {
	return none(f, "UnregisterProducer", func() error { return f.Store.UnregisterProducer(ctx, topic, id) })
}

// Producer implements service.Store.
func (f *Faulty) Producer(ctx context.Context, topic service.TopicName, name string) (service.Producer, error) {
	return one(f, "Producer", func() (service.Producer, error) { return f.Store.Producer(ctx, topic, name) })
}

// ListProducers implements service.Store.
func (f *Faulty) ListProducers(
	ctx context.Context, topic service.TopicID, after service.ProducerID, limit int,
) ([]service.Producer, error) {
	return one(f, "ListProducers", func() ([]service.Producer, error) {
		return f.Store.ListProducers(ctx, topic, after, limit)
	})
}

// CountProduced implements service.Store.
func (f *Faulty) CountProduced(ctx context.Context, name string, topic service.TopicName) (int64, error) {
	return one(f, "CountProduced", func() (int64, error) { return f.Store.CountProduced(ctx, name, topic) })
}

// Append implements service.Store.
func (f *Faulty) Append(
	ctx context.Context, requests []service.AppendRequest, now time.Time,
) (service.AppendPlan, error) {
	return one(f, "Append", func() (service.AppendPlan, error) { return f.Store.Append(ctx, requests, now) })
}

// Read implements service.Store.
func (f *Faulty) Read(
	ctx context.Context, topic service.TopicID, from service.Offset, limit int, maxBytes int64,
) ([]service.Message, error) {
	return one(f, "Read", func() ([]service.Message, error) {
		return f.Store.Read(ctx, topic, from, limit, maxBytes)
	})
}

// FindTime implements service.Store.
func (f *Faulty) FindTime(ctx context.Context, topic service.TopicID, t time.Time) (service.Offset, error) {
	return one(f, "FindTime", func() (service.Offset, error) { return f.Store.FindTime(ctx, topic, t) })
}

// Trim implements service.Store.
func (f *Faulty) Trim(
	ctx context.Context, topic service.TopicID, before service.Offset, decidedBy ...service.Retention,
) (service.Head, error) {
	return one(f, "Trim", func() (service.Head, error) { return f.Store.Trim(ctx, topic, before, decidedBy...) })
}

// RegisterConsumer implements service.Store.
func (f *Faulty) RegisterConsumer(
	ctx context.Context, r service.ConsumerRegistration,
) (service.Consumer, service.Head, error) {
	return two(f, "RegisterConsumer", func() (service.Consumer, service.Head, error) {
		return f.Store.RegisterConsumer(ctx, r)
	})
}

// UnregisterConsumer implements service.Store.
func (f *Faulty) UnregisterConsumer(ctx context.Context, topic service.TopicName, id service.ConsumerID) error {
	return none(f, "UnregisterConsumer", func() error { return f.Store.UnregisterConsumer(ctx, topic, id) })
}

// Consumers implements service.Store.
func (f *Faulty) Consumers(ctx context.Context, ids []service.ConsumerID) ([]service.Consumer, error) {
	return one(f, "Consumers", func() ([]service.Consumer, error) { return f.Store.Consumers(ctx, ids) })
}

// FindConsumer implements service.Store.
func (f *Faulty) FindConsumer(ctx context.Context, topic service.TopicID, name string) (service.Consumer, error) {
	return one(f, "FindConsumer", func() (service.Consumer, error) { return f.Store.FindConsumer(ctx, topic, name) })
}

// ListConsumers implements service.Store.
func (f *Faulty) ListConsumers(
	ctx context.Context, topic service.TopicID, after service.ConsumerID, limit int,
) ([]service.Consumer, error) {
	return one(f, "ListConsumers", func() ([]service.Consumer, error) {
		return f.Store.ListConsumers(ctx, topic, after, limit)
	})
}

// Move implements service.Store.
func (f *Faulty) Move(
	ctx context.Context, requests []service.MoveRequest, tail service.ReadFunc, now time.Time,
) ([]service.MoveResult, error) {
	return one(f, "Move", func() ([]service.MoveResult, error) { return f.Store.Move(ctx, requests, tail, now) })
}

// Seek implements service.Store.
func (f *Faulty) Seek(ctx context.Context, r service.SeekRequest, now time.Time) (service.Consumer, error) {
	return one(f, "Seek", func() (service.Consumer, error) { return f.Store.Seek(ctx, r, now) })
}

// CommitOffsets implements service.Store.
func (f *Faulty) CommitOffsets(ctx context.Context, commits []service.OffsetCommit, now time.Time) error {
	return none(f, "CommitOffsets", func() error { return f.Store.CommitOffsets(ctx, commits, now) })
}

// TopicName implements service.Store.
func (f *Faulty) TopicName(ctx context.Context, topic service.TopicID) (service.TopicName, error) {
	return one(f, "TopicName", func() (service.TopicName, error) { return f.Store.TopicName(ctx, topic) })
}

// CreateToken implements service.Store.
func (f *Faulty) CreateToken(ctx context.Context, token service.Token, forget time.Time) error {
	return none(f, "CreateToken", func() error { return f.Store.CreateToken(ctx, token, forget) })
}

// Tokens implements service.Store.
func (f *Faulty) Tokens(ctx context.Context) ([]service.Token, error) {
	return one(f, "Tokens", func() ([]service.Token, error) { return f.Store.Tokens(ctx) })
}

// RevokeToken implements service.Store.
func (f *Faulty) RevokeToken(ctx context.Context, id string, at time.Time) (bool, error) {
	return one(f, "RevokeToken", func() (bool, error) { return f.Store.RevokeToken(ctx, id, at) })
}
