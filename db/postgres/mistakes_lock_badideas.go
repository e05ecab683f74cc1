//go:build badideas

package postgres

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// lookFirst is lockState with the producers as query shows them: on a snapshot that is older than the
// lock.
func lookFirst(query string) lockFunc {
	return func(ctx context.Context, u *unit, parts []*part) (service.AppendState, error) {
		if err := u.run(ctx); err != nil { // BEGIN
			return service.AppendState{}, err
		}
		var early []pgsql.Producer
		for _, p := range parts {
			rows, err := u.conn.Query(ctx, query, int32(p.bucket), slices.Sorted(maps.Keys(p.topics)))
			if err != nil {
				return service.AppendState{}, err
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pgsql.Producer])
			if err != nil {
				return service.AppendState{}, err
			}
			early = append(early, found...)
		}
		state, err := lockState(ctx, u, parts)
		for _, found := range early {
			row := toProducer(found)
			if _, sent := state.Producers[row.ID]; sent {
				state.Producers[row.ID] = &row
			}
			if row.Name != "" {
				state.Named[service.NamedProducer{Topic: row.Topic, Name: row.Name}] = &row
			}
		}
		return state, err
	}
}

// takeOffsets is lockState without a lock on the heads: the offsets come from a counter that counts at
// once, whenever the messages are committed.
func (s *Store) takeOffsets(
	ctx context.Context, u *unit, parts []*part, requests []service.AppendRequest,
) (service.AppendState, error) {
	state := emptyState()
	var steps []step
	for _, p := range parts {
		params := pgsql.GetHeadsParams{Bucket: int32(p.bucket), TopicIds: slices.Sorted(maps.Keys(p.topics))}
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.GetHeads(ctx, params)
			for _, row := range rows {
				state.Heads[service.TopicID(row.TopicID)] = toHead(headRow(row))
			}
			return err
		})
		steps = append(steps, p.lockProducers(&state)...)
	}
	if err := u.run(ctx, steps...); err != nil {
		return state, err
	}
	for id, head := range state.Heads {
		var next int64
		err := s.reads.QueryRow(ctx, `INSERT INTO sequences AS q (topic_id, next_offset) VALUES ($1, $2::bigint + $3::bigint)
			ON CONFLICT (topic_id) DO UPDATE SET next_offset = q.next_offset + $3::bigint RETURNING next_offset - $3::bigint`,
			int64(id), int64(head.Next), newMessages(requests, id, &state)).Scan(&next)
		if err != nil {
			return state, err
		}
		head.Next = service.Offset(next)
		state.Heads[id] = head
	}
	<-time.After(rand.N(ackEarly)) // some transactions take longer than others
	return state, nil
}

// newMessages counts the messages of a group that go to a topic and are not there yet.
func newMessages(requests []service.AppendRequest, topic service.TopicID, state *service.AppendState) (n int64) {
	for i := range requests {
		r := &requests[i]
		if r.Topic != topic {
			continue
		}
		fresh := int64(len(r.Payloads))
		name := service.NamedProducer{Topic: topic, Name: r.ProducerName(state.Producers[r.Producer])}
		if named := state.Named[name]; r.Seq != service.NoSeq && named != nil {
			fresh = min(fresh, r.Seq+fresh-named.NextSeq)
		}
		n += max(0, fresh)
	}
	return n
}
