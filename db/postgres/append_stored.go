package postgres

import (
	"context"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// readStored reads what is stored under the seqs that were seen before (P3 c), on snapshots taken
// after the locks were granted.
func readStored(
	ctx context.Context, u *unit, requests []service.AppendRequest, state *service.AppendState,
) error {
	keys := state.Duplicates(requests)
	if len(keys) == 0 {
		return nil
	}
	state.Stored = make(map[service.SeqKey]service.Message, len(keys))
	var steps []step
	for _, run := range runs(keys, longestSent(requests, state)) {
		steps = append(steps, func(ctx context.Context, q *pgsql.Queries) error {
			rows, err := q.FindStored(ctx, run)
			if err != nil {
				return err
			}
			return keepStored(rows, service.TopicID(run.TopicID), state)
		})
	}
	return u.run(ctx, steps...)
}

// runs joins keys to runs of consecutive seqs. Those of one request follow one another.
func runs(keys []service.SeqKey, longest map[service.SeqKey]int) []pgsql.FindStoredParams {
	var list []pgsql.FindStoredParams
	for i, key := range keys {
		length := int32(longest[key]) //nolint:gosec // the length of a message
		if i > 0 && keys[i-1].NamedProducer == key.NamedProducer && keys[i-1].Seq+1 == key.Seq {
			last := &list[len(list)-1]
			last.LastSeq = key.Seq
			last.Longest = append(last.Longest, length)
			continue
		}
		list = append(list, pgsql.FindStoredParams{
			Bucket: bucketOf(key.Topic), TopicID: int64(key.Topic), Name: key.Name,
			FirstSeq: key.Seq, LastSeq: key.Seq, Longest: []int32{length},
		})
	}
	return list
}

// longestSent is, for each seq of the group, the length of the longest payload sent under it.
func longestSent(requests []service.AppendRequest, state *service.AppendState) map[service.SeqKey]int {
	longest := map[service.SeqKey]int{}
	for i := range requests {
		r := &requests[i]
		if r.Seq == service.NoSeq {
			continue
		}
		name := service.NamedProducer{Topic: r.Topic, Name: r.ProducerName(state.Producers[r.Producer])}
		for n := range r.Payloads {
			key := service.SeqKey{NamedProducer: name, Seq: r.Seq + int64(n)}
			longest[key] = max(longest[key], len(r.Payloads[n].Bytes))
		}
	}
	return longest
}

func keepStored(rows []pgsql.FindStoredRow, topic service.TopicID, state *service.AppendState) error {
	for _, row := range rows {
		m, err := toMessage(row)
		if err != nil {
			return err
		}
		name := service.NamedProducer{Topic: topic, Name: m.ProdName}
		state.Stored[service.SeqKey{NamedProducer: name, Seq: m.Seq}] = m
	}
	return nil
}
