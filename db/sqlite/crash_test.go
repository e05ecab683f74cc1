package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/topiq/topiq/service"
)

// The test binary, started again with these in its environment, plays a role instead of testing.
const (
	childRole = "TOPIQ_SQLITE_TEST_ROLE"
	childPath = "TOPIQ_SQLITE_TEST_PATH"
)

var children = map[string]func(path string, out io.Writer) error{
	"append":     appendForEver,
	"write fail": meetWriteErrors,
	"open":       openOnce,
}

func child(ctx context.Context, role, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// appendForEver appends from where the log ends, and says so after each group.
func appendForEver(path string, out io.Writer) error {
	ctx := context.Background()
	s, err := Open(ctx, path, Config{})
	if err != nil {
		return err
	}
	l, err := newLog(ctx, s)
	if err != nil {
		return err
	}
	for seq := l.producer.NextSeq; ; {
		n := int(1 + seq%70)
		if _, err := l.send(ctx, seq, n, 300); err != nil {
			return err
		}
		seq += int64(n)
		if _, err := fmt.Fprintln(out, seq); err != nil {
			return err
		}
	}
}

// A broker that is killed has lost nothing that it acknowledged, and its lock is gone with it.
func TestKilledBrokerLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	var stored int64
	for round := range 4 {
		acknowledged := appendAndKill(t, path, 20+60*round)
		if acknowledged <= stored {
			t.Fatalf("round %d: %d messages were acknowledged after %d", round, acknowledged, stored)
		}
		s, err := Open(t.Context(), path, Config{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		l, err := newLog(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		stored = l.verify(t, acknowledged, 300)
		// At most the group that was under way is stored beyond what was acknowledged; to send it
		// again is a duplicate, or its first time.
		if stored-acknowledged > 70 {
			t.Errorf("round %d: %d messages are stored, %d were acknowledged", round, stored, acknowledged)
		}
		result, err := l.send(t.Context(), acknowledged, int(1+acknowledged%70), 300)
		if err != nil || result.Duplicate != (stored > acknowledged) {
			t.Errorf("round %d: the retry got %+v, %v", round, result, err)
		}
		stored = l.verify(t, acknowledged+int64(result.Count), 300)
		closed(t, s)
	}
}

// appendAndKill lets a child append, kills it after some groups, and returns what it acknowledged.
func appendAndKill(t *testing.T, path string, groups int) int64 {
	t.Helper()
	cmd := child(t.Context(), "append", path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged int64
	lines := bufio.NewScanner(stdout)
	for i := 0; lines.Scan(); i++ {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Errorf("the child said %q", lines.Text())
		}
		if i == groups {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acknowledged
}

// A write that fails stops the store, even if the next one could succeed.
func TestWriteErrorsStopTheStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	out, err := child(t.Context(), "write fail", path).Output()
	if strings.HasPrefix(string(out), "unsupported") {
		t.Fatal("this system cannot limit the size of files, so the failure cannot be made")
	}
	if err != nil {
		t.Fatal(err)
	}
	const want = "first outcome_unknown\nsecond unavailable\nping unavailable\nafter unavailable\nread 10 messages\n"
	if string(out) != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
	s := opened(t, path)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	// The store is well after a new start. What became of the unknown one shows only now.
	if n := l.verify(t, 10, 100); n != 10 && n != 10+writeFailMessages {
		t.Errorf("%d messages", n)
	}
}

const writeFailMessages = 10

// meetWriteErrors makes the kernel refuse writes beyond the present size of the WAL.
func meetWriteErrors(path string, out io.Writer) error {
	ctx := context.Background()
	s, err := Open(ctx, path, Config{})
	if err != nil {
		return err
	}
	l, err := newLog(ctx, s)
	if err != nil {
		return err
	}
	if _, err := l.send(ctx, 0, 10, 100); err != nil {
		return err
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return err
	}
	restore, err := limitFileSize(uint64(info.Size()) + 5000)
	if err != nil {
		_, err = fmt.Fprintln(out, "unsupported", err)
		return err
	}
	say := func(what string, err error) {
		var refusal *service.Error
		if !errors.As(err, &refusal) {
			_, _ = fmt.Fprintln(out, what, err)
			return
		}
		_, _ = fmt.Fprintln(out, what, refusal.Code)
	}
	_, err = l.send(ctx, 10, writeFailMessages, 5000)
	say("first", err)
	_, err = l.send(ctx, 10, 1, 5000)
	say("second", err)
	say("ping", s.Ping(ctx))
	restore()
	_, err = l.send(ctx, 10, 1, 5000)
	say("after", err)
	messages, err := s.Read(ctx, l.head.ID, 0, 100, 1<<20)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "read", len(messages), "messages")
	return err
}
