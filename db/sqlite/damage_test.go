package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// flip changes one bit of a file.
func flip(t *testing.T, path string, bit int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyStore copies a file and its WAL, if there is one, to a directory of their own.
func copyStore(t *testing.T, from string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "topiq.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(from + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(path+suffix, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// wholeStore is a closed store with messages 0 … n−1 in its log.
func wholeStore(t *testing.T, n, size int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "topiq.db")
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.send(t.Context(), 0, n, size); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	return path
}

// found says what became of a store whose file was damaged.
type found struct {
	refused error // at the start
	stored  int64 // what the head says
	wrong   int   // messages that were answered and are not those that were stored
	failed  int   // reads that failed
	audited int64 // findings of the audit
}

// look opens a store and reads all that it says it has.
func look(t *testing.T, path string, size int) (f found) {
	t.Helper()
	s, err := Open(t.Context(), path, Config{Logger: discard()})
	if err != nil {
		return found{refused: err}
	}
	defer func() { _ = s.Close() }() // it may fail
	heads, err := s.Heads(t.Context(), []service.TopicName{"log"})
	if err != nil || len(heads) == 0 {
		return found{refused: fmt.Errorf("heads: %w", err)}
	}
	f.stored = int64(heads[0].Next)
	for seq := range min(f.stored, 10_000) {
		messages, err := s.Read(t.Context(), heads[0].ID, service.Offset(seq), 1, 1<<20)
		want := message(seq, size)
		switch {
		case err != nil || len(messages) == 0:
			f.failed++
		case !messages[0].Same(&want) || messages[0].Seq != seq || messages[0].ProdName != "writer" || messages[0].Offset != service.Offset(seq):
			f.wrong++
		}
	}
	sum, err := service.Audit(t.Context(), s, func(service.Finding) {})
	if f.audited = sum.Findings; err != nil {
		f.audited++
	}
	return f
}

// TestFlippedBitIsNeverAnswered: wherever in the file a bit changes, no message is answered that is not the
// one that was stored, and what is not as it was is refused at the start, or by a read, or found by the
// audit.
func TestFlippedBitIsNeverAnswered(t *testing.T) {
	t.Parallel()
	const messages, size, rounds = 60, 200, 120
	whole := wholeStore(t, messages, size)
	info, err := os.Stat(whole)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choice
	var refused, failed, harmless int
	for range rounds {
		bit := random.Int64N(info.Size() * 8)
		path := copyStore(t, whole)
		flip(t, path, bit)
		f := look(t, path, size)
		switch {
		case f.wrong > 0:
			t.Errorf("seed %d, bit %d: %d messages are wrong", seed, bit, f.wrong)
		case f.refused != nil:
			refused++
		case f.failed > 0 || f.audited > 0:
			failed++
		case f.stored != messages:
			t.Errorf("seed %d, bit %d: %d messages, and nobody has noticed", seed, bit, f.stored)
		default:
			harmless++ // an index of names, a position, free space
		}
	}
	t.Logf("%d flipped bits: %d refused at the start, %d noticed by a read or the audit, %d without effect on the log",
		rounds, refused, failed, harmless)
}

// TestFlippedBitInAPayload: the message is refused, the others are answered, and the store goes on.
func TestFlippedBitInAPayload(t *testing.T) {
	t.Parallel()
	path := wholeStore(t, 10, 100)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, message(4, 100).Bytes)
	if at < 0 {
		t.Fatal("the message is not in the file")
	}
	flip(t, path, int64(at+90)*8)
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), l.head.ID, 0, 10, 1<<20); !errors.Is(err, service.ErrInternal) || !strings.Contains(fmt.Sprint(err), "offset 4") {
		t.Errorf("got %v, want internal for offset 4", err)
	}
	for _, from := range []service.Offset{0, 5} {
		if messages, err := s.Read(t.Context(), l.head.ID, from, 4, 1<<20); err != nil || len(messages) != 4 {
			t.Errorf("from %d: %d messages, %v", from, len(messages), err)
		}
	}
	var findings []service.Finding
	if _, err := service.Audit(t.Context(), s, func(f service.Finding) { findings = append(findings, f) }); err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || findings[0].What != "checksum of offset 4" {
		t.Errorf("the audit finds %v", findings)
	}
	if _, err := l.send(t.Context(), 10, 1, 100); err != nil {
		t.Error(err)
	}
}

// TestMessagesWithoutAChecksumPass: those that an earlier version has stored.
func TestMessagesWithoutAChecksumPass(t *testing.T) {
	t.Parallel()
	path := wholeStore(t, 10, 100)
	execOn(t, path, "UPDATE messages SET checksum = NULL")
	if f := look(t, path, 100); f != (found{stored: 10}) {
		t.Errorf("%+v", f)
	}
}

// killedStore is a store with its WAL, as a killed broker leaves it, with one commit for each message.
func killedStore(t *testing.T, messages int64, size int) (path string, synced int64) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, running)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range messages {
		if seq >= messages-2 && synced == 0 {
			info, err := os.Stat(running + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			synced = info.Size()
		}
		if _, err := l.send(t.Context(), seq, 1, size); err != nil {
			t.Fatal(err)
		}
	}
	return copyStore(t, running), synced
}

// TestFlippedBitInTheWAL: SQLite takes it for the end of the WAL. What was synced is not given up like that.
func TestFlippedBitInTheWAL(t *testing.T) {
	t.Parallel()
	const messages, size, rounds = 30, 200, 60
	whole, synced := killedStore(t, messages, size)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choice
	for round := range rounds {
		bit := random.Int64N(synced * 8)
		if round < walHeaderBytes {
			bit = int64(round)*8 + random.Int64N(8)
		}
		path := copyStore(t, whole)
		flip(t, path+"-wal", bit)
		before, err := os.ReadFile(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		refused(t, path, "-wal is damaged", "left as it is")
		if after, err := os.ReadFile(path + "-wal"); err != nil || !bytes.Equal(after, before) {
			t.Fatalf("seed %d, bit %d: the WAL was changed, %v", seed, bit, err)
		}
	}
}

// TestTornWAL: what a loss of power leaves of the last transaction is no damage, and nothing else is
// missing.
func TestTornWAL(t *testing.T) {
	t.Parallel()
	const messages, size = 30, 200
	whole, synced := killedStore(t, messages, size)
	info, err := os.Stat(whole + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if f := look(t, copyStore(t, whole), size); f != (found{stored: messages}) {
		t.Errorf("as it is: %+v", f)
	}
	last := synced + (info.Size()-synced)/2 // where the last transaction begins
	for cut := last + 1; cut < info.Size(); cut += 997 {
		path := copyStore(t, whole)
		if err := os.Truncate(path+"-wal", cut); err != nil {
			t.Fatal(err)
		}
		if f := look(t, path, size); f != (found{stored: messages - 1}) {
			t.Errorf("cut at %d of %d: %+v", cut, info.Size(), f)
		}
	}
	for bit := last * 8; bit < info.Size()*8; bit += 9973 {
		path := copyStore(t, whole)
		flip(t, path+"-wal", bit)
		if f := look(t, path, size); f != (found{stored: messages - 1}) {
			t.Errorf("bit %d: %+v", bit, f)
		}
	}
}

// TestEveryCutOfTheFile: a file that is shorter than it was is refused.
func TestEveryCutOfTheFile(t *testing.T) {
	t.Parallel()
	whole := wholeStore(t, 60, 200)
	info, err := os.Stat(whole)
	if err != nil {
		t.Fatal(err)
	}
	for cut := int64(0); cut < info.Size(); cut += 3001 {
		path := copyStore(t, whole)
		if err := os.Truncate(path, cut); err != nil {
			t.Fatal(err)
		}
		if f := look(t, path, 200); f.refused == nil {
			t.Errorf("cut at %d of %d: %+v", cut, info.Size(), f)
		}
	}
}

// TestDirectoryInPlaceOfTheFile and the like: each is refused, and left as it is.
func TestDirectoryInPlaceOfTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path, "not a regular file")
}

// TestLockHeldByAnotherProgram: writes are refused while it holds it, and go on afterwards; nothing is
// acknowledged meanwhile, and a broker does not start.
func TestLockHeldByAnotherProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	release := holdLock(t, path)
	if _, err := l.send(t.Context(), 0, 1, 100); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("a write: got %v, want unavailable", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("Ping: got %v, want unavailable", err)
	}
	release()
	if result, err := l.send(t.Context(), 0, 1, 100); err != nil || result.Duplicate {
		t.Errorf("afterwards: %+v, %v", result, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closed(t, s)
	release = holdLock(t, path)
	refused(t, path, path, "locked")
	release()
	closed(t, opened(t, path))
}

// holdLock holds the write lock of a file as another program would.
func holdLock(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := handle(path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// openOnce opens a store and says what it got.
func openOnce(path string, out io.Writer) error {
	s, err := Open(context.Background(), path, Config{})
	if err != nil {
		_, err = fmt.Fprintln(out, "refused:", err)
		return err
	}
	_, err = fmt.Fprintln(out, "opened")
	return errors.Join(err, s.Close())
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
