package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	// leastBuffered is how long the buffer for the parameters of a statement is in the beginning.
	leastBuffered = 4 << 10
	// mostBuffered is how long parameters may be that it grows for, as those of two thousand messages of 100 bytes. What
	// is longer gets memory of its own, as pgx would do.
	mostBuffered = 512 << 10
)

// buffers are what a connection encodes into, again and again. Left alone, pgx begins each statement with 256 bytes and
// each round trip with a kilobyte, makes that larger by a quarter wherever it is full, and lets go of it at the end:
// more than half of the garbage of a group of 64 messages was that.
type buffers struct {
	values []byte // the parameters of a statement
	writes []byte // what is sent
}

// buffersKey is where a connection keeps its buffers.
const buffersKey = "topiq_buffers"

// newBuffers gives a connection its buffers. The parameters that are long are arrays.
func newBuffers(conn *pgx.Conn) *buffers {
	own := &buffers{values: make([]byte, 0, leastBuffered)}
	types := conn.TypeMap()
	for _, oid := range []uint32{
		pgtype.ByteaArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.TextArrayOID, pgtype.TimestamptzArrayOID,
	} {
		if t, ok := types.TypeForOID(oid); ok {
			types.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: bufferedArrays{t.Codec, own}})
		}
	}
	conn.PgConn().CustomData()[buffersKey] = own
	return own
}

// bufferedArrays encodes arrays as another codec does, into the buffer of the connection.
type bufferedArrays struct {
	pgtype.Codec
	own *buffers
}

// PlanEncode implements pgtype.Codec.
func (b bufferedArrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	plan := b.Codec.PlanEncode(m, oid, format, value)
	if plan == nil {
		return nil
	}
	return bufferedPlan{plan, b.own}
}

type bufferedPlan struct {
	pgtype.EncodePlan
	own *buffers
}

// Encode implements pgtype.EncodePlan. The first array of a statement takes what pgx has encoded before it along into the
// buffer; those after it find themselves there, or in memory that is larger and will be the buffer. The statement before
// has been copied to what is sent by then.
func (p bufferedPlan) Encode(value any, encoded []byte) ([]byte, error) {
	if cap(encoded) < cap(p.own.values) {
		encoded = append(p.own.values[:0], encoded...)
	}
	encoded, err := p.EncodePlan.Encode(value, encoded)
	if n := cap(encoded); n > cap(p.own.values) && n <= mostBuffered {
		p.own.values = encoded[:0]
	}
	return encoded, err
}

// useBuffers lets a connection that is taken out of the pool send from its buffer. Nothing else is using that: what was sent
// before has been written. A connection that has sent more than a kilobyte sends from new memory until it is taken anew.
func useBuffers(_ context.Context, conn *pgx.Conn) (bool, error) {
	own, ok := conn.PgConn().CustomData()[buffersKey].(*buffers)
	if !ok {
		own = newBuffers(conn)
	}
	if n := 2 * cap(own.values); n > cap(own.writes) { // there are several statements in a round trip
		own.writes = make([]byte, 0, n)
	}
	conn.PgConn().Frontend().Send(sendBuffer{own})
	return true, nil
}

// sendBuffer is a message without content, which pgx encodes behind what it is about to send: and that is moved.
type sendBuffer struct{ own *buffers }

// Encode implements pgproto3.FrontendMessage. What is to be sent may lie in the buffer already.
func (s sendBuffer) Encode(written []byte) ([]byte, error) {
	return append(s.own.writes[:0], written...), nil
}

// Decode implements pgproto3.FrontendMessage.
func (sendBuffer) Decode([]byte) error { return errors.ErrUnsupported }

// Frontend implements pgproto3.FrontendMessage.
func (sendBuffer) Frontend() {}
