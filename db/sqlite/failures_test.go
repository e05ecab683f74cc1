package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
	if _, err := l.send(t.Context(), 8000, 1, 10); !errors.Is(err, service.ErrUnavailable) {
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
