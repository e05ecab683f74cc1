package postgres

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// TestBuffersKeepParameters: whatever the sizes of its parameters, and of those of the statements before it, each statement
// gets its own.
func TestBuffersKeepParameters(t *testing.T) {
	t.Parallel()
	store, err := Open(t.Context(), pgtest.URL(t), Config{MaxConns: 8, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing to lose
	const query = "SELECT $1::text, $2::bigint[], $3::text[], $4::bytea[], $5::int[]"
	var first *buffers
	for round, n := range []int{1, 500, 3, 20_000, 0, 200_000, 7, 20_000, 1} {
		conn, err := store.reads.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		own, ok := conn.Conn().PgConn().CustomData()[buffersKey].(*buffers)
		if !ok || first != nil && own != first {
			t.Fatalf("round %d: the connection has other buffers", round)
		}
		first = own
		batch, want := &pgx.Batch{}, [3]values{valuesOf(n), valuesOf(n / 3), valuesOf(2 * n)}
		for _, v := range want {
			batch.Queue(query, v.before, v.ids, v.texts, v.blobs, v.places)
		}
		results := conn.Conn().SendBatch(t.Context(), batch)
		for i, v := range want {
			var got values
			if err := results.QueryRow().Scan(&got.before, &got.ids, &got.texts, &got.blobs, &got.places); err != nil {
				t.Fatal(err)
			}
			if !got.equal(v) {
				t.Errorf("round %d: statement %d got other parameters", round, i)
			}
		}
		if err := results.Close(); err != nil {
			t.Fatal(err)
		}
		conn.Release()
		if n := cap(own.values); n < leastBuffered || n > mostBuffered {
			t.Errorf("round %d: the buffer has %d bytes", round, n)
		}
	}
}

// values are parameters of a statement.
type values struct {
	before string
	ids    []int64
	texts  []string
	blobs  [][]byte
	places []int32
}

func valuesOf(n int) values {
	v := values{before: strings.Repeat("before", n%100), ids: []int64{}, texts: []string{}, blobs: [][]byte{}, places: []int32{}}
	for i := range n {
		v.ids, v.places = append(v.ids, int64(n)<<32+int64(i)), append(v.places, int32(n-i)) //nolint:gosec // small
		if i < 1000 {
			v.texts = append(v.texts, strings.Repeat("t", i%30))
			v.blobs = append(v.blobs, bytes.Repeat([]byte{byte(n)}, i%40))
		}
	}
	return v
}

func (v values) equal(other values) bool {
	return v.before == other.before && slices.Equal(v.ids, other.ids) && slices.Equal(v.texts, other.texts) &&
		slices.EqualFunc(v.blobs, other.blobs, bytes.Equal) && slices.Equal(v.places, other.places)
}

// TestSendBuffer: what was to be sent before and what comes after is sent once and in order, from the same memory.
//
//nolint:paralleltest // the allocations of others would be counted
func TestSendBuffer(t *testing.T) {
	const size = 8 << 10
	short, long := &pgproto3.Query{String: "short"}, &pgproto3.Query{String: strings.Repeat("x", size/2)}
	var got, want bytes.Buffer
	f, plain := pgproto3.NewFrontend(nil, &got), pgproto3.NewFrontend(nil, &want)
	own := &buffers{writes: make([]byte, 0, size)}
	for i, query := range []*pgproto3.Query{short, short, long, short, short, long, long, short} {
		f.Send(sendBuffer{own})
		f.Send(query)
		plain.Send(query)
		if i%2 == 0 {
			continue // two at a time
		}
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := plain.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("%d bytes were sent, want %d", got.Len(), want.Len())
		}
	}
	got.Grow(200 * size)
	allocations := testing.AllocsPerRun(100, func() {
		f.Send(sendBuffer{own})
		f.Send(long)
		_ = f.Flush() // a buffer takes everything
	})
	if allocations > 2 { // the kilobyte that pgx begins with, and what stands for the buffer
		t.Errorf("%.0f allocations for a long message", allocations)
	}
}
