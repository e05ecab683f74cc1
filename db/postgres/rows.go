package postgres

import (
	"time"

	"github.com/topiq/topiq/gen/pgsql"
	"github.com/topiq/topiq/service"
)

// headRow is what every query of a head answers; those of the others convert to it.
type headRow = pgsql.GetHeadRow

func toHead(row headRow) service.Head {
	return service.Head{
		ID: service.TopicID(row.TopicID), Name: service.TopicName(row.Name), Incarnation: row.Incarnation,
		CreatedAt: row.CreatedAt.UTC(), First: service.Offset(row.FirstOffset), Next: service.Offset(row.NextOffset),
		Bytes: row.Bytes, LastAppend: row.LastAppend.UTC(), // the year 1 is Go's zero time
		Foreign: foreign(row.Identity, row.Known),
		Quota: service.TopicQuota{
			BytesPerSecond: row.QuotaRate, StoredBytes: row.QuotaBytes,
			Producers: row.QuotaProducers, Consumers: row.QuotaConsumers,
		},
	}
}

func toProducer(row pgsql.Producer) service.Producer {
	p := service.Producer{
		ID: service.ProducerID(row.ProducerID), Topic: service.TopicID(row.TopicID), Name: deref(row.Name, ""),
		Epoch: row.Epoch, NextSeq: row.NextSeq, LastOffset: service.Offset(row.LastOffset), Count: row.Count,
		Instance: row.Instance,
	}
	if len(row.Fenced) > 0 {
		p.Fenced = row.Fenced
	}
	return p
}

// registered tells producers from the rows of names that only count messages.
func registered(p service.Producer) bool { return p.Name == "" || p.Epoch > 0 }

func toConsumer(row pgsql.Consumer) service.Consumer {
	return service.Consumer{
		ID: service.ConsumerID(row.ConsumerID), Topic: service.TopicID(row.TopicID), Name: deref(row.Name, ""),
		Offset: service.Offset(row.Offset), SeekNo: row.SeekNo, LastSeen: row.LastSeen.UTC(),
	}
}

func toMessage(row pgsql.FindStoredRow) (service.Message, error) {
	headers, err := service.DecodeHeaders(row.Headers)
	if err != nil {
		return service.Message{}, service.ErrInternal.Because(err)
	}
	seq := row.Seq.Int64
	if !row.Seq.Valid {
		seq = service.NoSeq
	}
	return service.Message{
		Payload: service.Payload{Bytes: row.Payload, Binary: row.IsBinary, Headers: headers},
		Offset:  service.Offset(row.Offset), ProdName: row.ProdName.String, Seq: seq,
		CreatedAt: row.CreatedAt.UTC(),
	}, nil
}

func toAll[Row, T any](rows []Row, to func(Row) T) []T {
	if len(rows) == 0 {
		return nil
	}
	all := make([]T, len(rows))
	for i := range rows {
		all[i] = to(rows[i])
	}
	return all
}

// stored is a time as the database keeps it.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// optional is NULL for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func deref[T any](p *T, null T) T {
	if p == nil {
		return null
	}
	return *p
}

func bucketOf[ID ~int64](id ID) int32 { return int32(service.BucketOfID(id)) }
