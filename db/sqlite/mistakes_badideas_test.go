//go:build badideas

package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// Each test shows that a mistake does what it is there for.

func TestMistakesInSettings(t *testing.T) {
	for name, want := range map[string][2]string{
		"":                          {"wal", "2"},
		"sqlite_synchronous_normal": {"wal", "1"},
		"sqlite_delete_full":        {"delete", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TOPIQ_MISTAKE", name)
			path := filepath.Join(t.TempDir(), "topiq.db")
			s := opened(t, path)
			l, err := newLog(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.send(t.Context(), 0, 10, 100); err != nil {
				t.Fatal(err)
			}
			var got [2]string
			for i, setting := range []string{"journal_mode", "synchronous"} {
				if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+setting).Scan(&got[i]); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Errorf("journal_mode and synchronous are %v, want %v", got, want)
			}
			closed(t, s)
			l.store = opened(t, path)
			if n := l.verify(t, 10, 100); n != 10 {
				t.Errorf("%d messages after a restart, want 10", n)
			}
		})
	}
}

func TestMistakeIgnoreIOError(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "sqlite_ignore_ioerr")
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.writer.stop(errors.New("a sync has failed"))
	if _, err := l.send(t.Context(), 0, 1, 10); err != nil {
		t.Errorf("after an error of the disk: %v", err)
	}
}

func TestMistakeAckBeforeCommit(t *testing.T) {
	t.Setenv("TOPIQ_MISTAKE", "ack_before_commit")
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	early := 0
	for seq := range int64(20) {
		before := l.next(t)
		if _, err := l.send(t.Context(), seq, 1, 10); err != nil {
			t.Fatal(err)
		}
		if l.next(t) == before {
			early++
		}
		for l.next(t) == before { // it is committed in the end
			<-time.After(time.Millisecond)
		}
	}
	if early == 0 {
		t.Error("everything was committed when it was acknowledged")
	}
}

// next is the end of the log as committed.
func (l *log) next(t *testing.T) service.Offset {
	t.Helper()
	heads, err := l.store.Heads(t.Context(), []service.TopicName{l.head.Name})
	if err != nil {
		t.Fatal(err)
	}
	return heads[0].Next
}
