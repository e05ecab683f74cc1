package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

const (
	// knownConsumers and movedTopics bound what is remembered of moves, but for one group more: with so many all is
	// forgotten. A consumer takes about 200 bytes.
	knownConsumers = 20_000
	movedTopics    = 10_000
)

// knownMoves is what this store's moves have left behind: consumers, and the heads they have seen. It may be wrong at any
// time, for other brokers write too, and so does whoever seeks or commits an offset. Whoever decides on it holds the rows
// to it when writing (writeKnownMoves).
type knownMoves struct {
	mu        sync.Mutex
	consumers map[service.ConsumerID]*knownConsumer
	heads     map[service.TopicID]service.Head
}

type knownConsumer struct {
	row service.Consumer
	caution
}

func newKnownMoves() *knownMoves {
	return &knownMoves{consumers: map[service.ConsumerID]*knownConsumer{}, heads: map[service.TopicID]service.Head{}}
}

// errNotKnown is why a move cannot be decided on what is known.
var errNotKnown = errors.New("not known")

// plan decides a group on what is known, if that is enough: if each request gets as many messages as it has asked for, and
// they are at hand. A refusal, and that there is nothing more, rest on rows that were read after the request had come.
func (k *knownMoves) plan(
	requests []service.MoveRequest, decide func(service.MoveState, service.ReadFunc) (service.MovePlan, error),
) (state service.MoveState, plan service.MovePlan, ok bool) {
	if state, ok = k.state(requests); !ok {
		return state, plan, false
	}
	plan, err := decide(state, func(service.TopicID, string, service.Offset, int, int64) ([]service.Message, error) {
		return nil, errNotKnown
	})
	if err != nil {
		return state, plan, false
	}
	for i := range plan.Results {
		if plan.Results[i].Err != nil || len(plan.Results[i].Messages) < requests[i].Limit {
			return state, plan, false
		}
	}
	return state, plan, true
}

// state is what a group can be decided on without reading anything; false if something of it is not known.
func (k *knownMoves) state(requests []service.MoveRequest) (service.MoveState, bool) {
	state := service.MoveState{
		Consumers: make(map[service.ConsumerID]service.Consumer, len(requests)), Heads: map[service.TopicID]service.Head{},
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range requests {
		c := k.consumers[requests[i].Consumer]
		if c == nil || !c.trusts() {
			return state, false
		}
		head, ok := k.heads[c.row.Topic]
		if !ok {
			return state, false
		}
		state.Consumers[c.row.ID], state.Heads[head.ID] = c.row, head
	}
	return state, true
}

// doubt notes that some of these consumers are others than was known.
func (k *knownMoves) doubt(consumers map[service.ConsumerID]service.Consumer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range consumers {
		if c := k.consumers[id]; c != nil {
			c.doubted = true
		}
	}
}

// learn takes in what a move has read, or has known, and what it has made of that.
func (k *knownMoves) learn(state *service.MoveState, plan *service.MovePlan) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.consumers) >= knownConsumers || len(k.heads) >= movedTopics {
		clear(k.consumers)
		clear(k.heads)
	}
	maps.Copy(k.heads, state.Heads)
	for id, row := range state.Consumers {
		if _, ok := state.Heads[row.Topic]; !ok { // its topic is gone, or another was asked for
			delete(k.consumers, id)
			continue
		}
		c := k.consumers[id]
		if c == nil {
			c = &knownConsumer{}
			k.consumers[id] = c
		}
		c.found(c.row.Offset != row.Offset || c.row.SeekNo != row.SeekNo)
		c.row = row
	}
	for _, row := range plan.Changed { // whose topics are there
		k.consumers[row.ID].row = row
	}
}

// forget drops all that is known: engines do so when they have lost the server that it was read from.
func (k *knownMoves) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.consumers)
	clear(k.heads)
}

// moveKnown is a move up to its COMMIT that goes on from what is known. errStale: it cannot. The results have the heads that
// were read, not those that the plan was made on.
func (s *Store) moveKnown(
	ctx context.Context, u *unit, requests []service.MoveRequest, state *service.MoveState, plan *service.MovePlan,
) error {
	if err := writeKnownMoves(ctx, u, state, plan); err != nil {
		if errors.Is(err, errStale) {
			s.moved.doubt(state.Consumers)
		}
		return err
	}
	for i := range plan.Results {
		plan.Results[i].Head = state.Heads[requests[i].Topic]
	}
	return fault.Point("offset.before_commit")
}

// writeKnownMoves writes a plan that was made on what was known, with no lock. The statement that sets the positions takes
// the locks, and changes only consumers that are still what was known (compare writeKnown). The heads are read after that,
// as by a move that locks first: of the same incarnation, of this database, with nothing trimmed since, and no shorter, they
// still have every message that the plan gives out, for a message below the end of a log never changes. Anything else means
// errStale, and nothing of the transaction stays.
//
// The statement locks the consumers in the order of their keys, as all others do, so that no two wait for each other.
func writeKnownMoves(ctx context.Context, u *unit, state *service.MoveState, plan *service.MovePlan) error {
	changed := slices.Clone(plan.Changed)
	slices.SortFunc(changed, func(a, b service.Consumer) int { return byKey(a.ID, b.ID) })
	p := pgsql.SetPositionsAsKnownParams{MaxRows: int64(len(changed))}
	for _, to := range changed {
		known := state.Consumers[to.ID]
		p.ConsumerIds = append(p.ConsumerIds, int64(to.ID))
		p.Offsets = append(p.Offsets, int64(to.Offset))
		p.LastSeen = append(p.LastSeen, to.LastSeen)
		p.KnownTopics = append(p.KnownTopics, int64(known.Topic))
		p.KnownOffsets = append(p.KnownOffsets, int64(known.Offset))
		p.KnownSeekNos = append(p.KnownSeekNos, known.SeekNo)
	}
	topics := make([]int64, 0, len(state.Heads))
	for id := range state.Heads {
		topics = append(topics, int64(id))
	}
	var heads []pgsql.GetHeadsAsKnownRow
	err := u.run(ctx, asKnown(len(changed), func(ctx context.Context, q *pgsql.Queries) (int64, error) {
		return q.SetPositionsAsKnown(ctx, p)
	}), func(ctx context.Context, q *pgsql.Queries) (err error) {
		heads, err = q.GetHeadsAsKnown(ctx, topics)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range heads {
		head := toHead(headRow(row))
		known := state.Heads[head.ID]
		if head.Incarnation != known.Incarnation || head.First != known.First || head.Next < known.Next || head.Foreign {
			return errNotAsKnown
		}
		state.Heads[head.ID] = head
	}
	if len(heads) != len(topics) {
		return errNotAsKnown
	}
	return nil
}
