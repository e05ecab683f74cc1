package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// When there is no room nothing is stored; when there is again, the store goes on.
func TestFullStoreRecovers(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.send(t.Context(), 0, 20, 1000); err != nil {
		t.Fatal(err)
	}
	pages(t, s, 60)
	for range 2 {
		if _, err := l.send(t.Context(), 20, 1000, 1000); !errors.Is(err, service.ErrStorageFull) {
			t.Fatalf("got %v, want storage_full", err)
		}
		if n := l.verify(t, 20, 1000); n != 20 {
			t.Fatalf("%d messages, want 20", n)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping, which needs no new page: %v", err)
	}
	pages(t, s, 1<<30)
	if _, err := l.send(t.Context(), 20, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if n := l.verify(t, 1020, 1000); n != 1020 {
		t.Errorf("%d messages, want 1020", n)
	}
}

// pages bounds the size of the file.
func pages(t *testing.T, s *Store, n int) {
	t.Helper()
	s.writer.slot <- struct{}{}
	defer func() { <-s.writer.slot }()
	if _, err := s.writer.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
		t.Fatal(err)
	}
}

// A file that turns out to be damaged is not written any more. What can be read still is.
func TestDamagedFileStopsTheStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for seq := int64(0); seq < 8000; seq += 1000 {
		if _, err := l.send(t.Context(), seq, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)

	s = opened(t, path)
	l.store = s
	scribble(t, path)
	if _, err := l.send(t.Context(), 8000, 10, 1000); !errors.Is(err, service.ErrInternal) || errors.Is(err, service.ErrBadData) {
		t.Errorf("got %v, want internal, and not the data's fault", err)
	}
	if _, err := l.send(t.Context(), 8000, 1, 10); !errors.Is(err, service.ErrUnavailable) || !errors.Is(err, service.ErrStopped) {
		t.Errorf("got %v, want unavailable", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("Ping: got %v, want unavailable", err)
	}
	if messages, err := s.Read(t.Context(), l.head.ID, 0, 10, 1<<20); err != nil || len(messages) != 10 {
		t.Errorf("%d messages, %v; want 10", len(messages), err)
	}
}

// scribble overwrites the second half of a file.
func scribble(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	half := info.Size() / 2
	rubbish := make([]byte, info.Size()-half)
	for i := range rubbish {
		rubbish[i] = byte(i*i + 7)
	}
	if _, err := f.WriteAt(rubbish, half); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataThatSQLiteRefusesIsBadData(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	// The net of P5: a plan that stores a seq twice.
	err = s.writer.do(t.Context(), func(ctx context.Context, tx *tx) error {
		m := service.Message{Payload: message(0, 10), ProdName: "writer"}
		other := m
		other.Offset = 1
		return tx.insert(ctx, &service.TopicAppend{Head: l.head, Messages: []service.Message{m, other}})
	})
	if !errors.Is(err, service.ErrInternal) || !errors.Is(err, service.ErrBadData) {
		t.Errorf("got %v, want internal with bad data", err)
	}
	if _, err := l.send(t.Context(), 0, 1, 10); err != nil {
		t.Errorf("the store has not gone on: %v", err)
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "topiq.db"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if _, err := s.CreateTopic(t.Context(), service.NewTopic{Name: "a"}); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("a write: got %v, want unavailable", err)
	}
	if _, err := s.Heads(t.Context(), []service.TopicName{"a"}); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("a read: got %v, want unavailable", err)
	}
}

// Reads without a gap keep the WAL from starting over; it is cut all the same.
func TestLongWALIsCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.writer.wal.frames = truncateFrames + 1
	if _, err := l.send(t.Context(), 0, 5, 1<<20); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path + "-wal")
	if err != nil || info.Size() != 0 || s.writer.wal.frames != 0 {
		t.Errorf("the WAL has %v, %d frames, %v; want none", info, s.writer.wal.frames, err)
	}
	l.verify(t, 5, 1<<20)
}

// A reader that stays, as a backup does, is not waited for: the WAL grows, and is cut when it has gone.
func TestLongReaderDoesNotHoldTheWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // a test's reader
	var topics int
	if _, err := reader.ExecContext(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM topics").Scan(&topics); err != nil {
		t.Fatal(err)
	}
	checkpointed := func(frames int64) time.Duration {
		s.writer.wal.frames = frames
		begin := time.Now()
		s.writer.checkpoint(t.Context(), checkpointBytes)
		return time.Since(begin)
	}
	if _, err := l.send(t.Context(), 0, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	if took := checkpointed(truncateFrames + 1); took > time.Second {
		t.Errorf("the writer waited %v for a reader", took)
	}
	uncut := s.writer.wal.uncut
	if uncut == 0 {
		t.Error("the WAL was cut under a reader")
	}
	s.writer.wal.uncut = truncateFrames // as if it were that long
	if checkpointed(2 * truncateFrames); s.writer.wal.uncut != uncut {
		t.Error("the WAL was to be cut before it was twice as long")
	}
	if _, err := reader.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	checkpointed(truncateFrames + 1)
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 || s.writer.wal.uncut != 0 {
		t.Errorf("the WAL has %v, %v; want none", info, err)
	}
	if err := check(t.Context(), s.writer.conn, writerSettings()); err != nil {
		t.Error(err)
	}
	l.verify(t, 1, 1<<20)
}

// What a sweep removes is in the WAL as much as what an append adds.
func TestSweepIsCheckpointed(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.send(t.Context(), 0, 3000, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trim(t.Context(), l.head.ID, 3000); err != nil {
		t.Fatal(err)
	}
	before := s.writer.wal.bytes
	if n, err := s.Sweep(t.Context(), 500); err != nil || n != 500 {
		t.Fatalf("%d rows were swept, %v; want 500", n, err)
	}
	if grown := s.writer.wal.bytes - before; grown < 500*1000 {
		t.Errorf("500 messages of 1000 bytes count for %d bytes of the WAL", grown)
	}
}
