package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/topiq/topiq/gen/litesql"
	"github.com/topiq/topiq/service"
)

// bucketOf is the first column of every key.
func bucketOf[ID ~int64](id ID) int64 { return int64(service.BucketOfID(id)) }

// micros is how a time is stored; 0 is none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// named is the column of a name: NULL for none, because NULLs are not equal to each other in a
// UNIQUE constraint.
func named(name string) *string {
	if name == "" {
		return nil
	}
	return &name
}

func nameOf(column *string) string {
	if column == nil {
		return ""
	}
	return *column
}

// jsonOf is the form in which several keys are one parameter.
func jsonOf(keys any) (string, error) {
	b, err := json.Marshal(keys)
	return string(b), err
}

func headOf(row litesql.GetHeadRow) service.Head {
	return service.Head{
		ID: service.TopicID(row.TopicID), Name: service.TopicName(row.Name),
		Incarnation: row.Incarnation, CreatedAt: timeOf(row.CreatedAt),
		First: service.Offset(row.FirstOffset), Next: service.Offset(row.NextOffset),
		Bytes: row.Bytes, LastAppend: timeOf(row.LastAppend), Foreign: service.Foreign(row.Identity, row.FileID),
		Quota: service.TopicQuota{
			BytesPerSecond: row.QuotaRate, StoredBytes: row.QuotaBytes,
			Producers: row.QuotaProducers, Consumers: row.QuotaConsumers,
		},
	}
}

func producerOf(row litesql.Producer) (service.Producer, error) {
	p := service.Producer{
		ID: service.ProducerID(row.ProducerID), Topic: service.TopicID(row.TopicID), Name: nameOf(row.Name),
		Epoch: row.Epoch, NextSeq: row.NextSeq, LastOffset: service.Offset(row.LastOffset), Count: row.Count,
		Instance: row.Instance,
	}
	if row.Fenced != "[]" {
		if err := json.Unmarshal([]byte(row.Fenced), &p.Fenced); err != nil {
			return service.Producer{}, contradiction("producer %d: fenced: %w", row.ProducerID, err)
		}
	}
	return p, nil
}

func consumerOf(row litesql.Consumer) service.Consumer {
	return service.Consumer{
		ID: service.ConsumerID(row.ConsumerID), Topic: service.TopicID(row.TopicID), Name: nameOf(row.Name),
		Offset: service.Offset(row.Offset), SeekNo: row.SeekNo, LastSeen: timeOf(row.LastSeen),
	}
}

// messageRow is a message as it is stored, without its topic.
type messageRow struct {
	offset    int64
	prodName  *string
	seq       *int64
	isBinary  int64
	payload   []byte
	headers   []byte
	createdAt int64
	checksum  sql.NullInt64 // not valid where the payload was not read as a whole, or there is none
}

func messageOf(row messageRow) (service.Message, error) {
	headers, err := service.DecodeHeaders(row.headers)
	if err != nil {
		return service.Message{}, contradiction("message %d: %w", row.offset, err)
	}
	m := service.Message{
		Payload: service.Payload{Bytes: row.payload, Binary: row.isBinary != 0, Headers: headers},
		Offset:  service.Offset(row.offset), ProdName: nameOf(row.prodName), Seq: service.NoSeq,
		CreatedAt: timeOf(row.createdAt),
	}
	if m.Bytes == nil {
		m.Bytes = []byte{} // the driver reads an empty BLOB as nil
	}
	if row.seq != nil {
		m.Seq = *row.seq
	}
	return m, nil
}

// seqOf, binaryOf and bytesOf are columns of a message.
func seqOf(m *service.Message) *int64 {
	if m.Seq == service.NoSeq {
		return nil
	}
	return &m.Seq
}

func binaryOf(m *service.Message) int64 {
	if m.Binary {
		return 1
	}
	return 0
}

func bytesOf(m *service.Message) []byte {
	if m.Bytes == nil {
		return []byte{} // nil would be NULL
	}
	return m.Bytes
}

// distinct returns keys without repetitions, sorted.
func distinct[ID ~int64](ids []ID) []ID {
	sorted := slices.Sorted(slices.Values(ids))
	return slices.Compact(sorted)
}

// all converts rows, up to the first that does not convert.
func all[Row, T any](rows []Row, convert func(Row) (T, error)) ([]T, error) {
	values := make([]T, 0, len(rows))
	for _, row := range rows {
		value, err := convert(row)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// fencedOf is the stored form of the tokens of earlier sessions.
func fencedOf(tokens []string) (string, error) {
	if len(tokens) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(tokens)
	if err != nil {
		return "", fmt.Errorf("fenced: %w", err)
	}
	return string(b), nil
}
