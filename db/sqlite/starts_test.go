package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// life opens a broker on a file and lets use work with it.
func life(t *testing.T, path string, use func(b *service.Broker)) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := Open(t.Context(), path, Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	b := service.NewBroker(s, service.Config{Logger: quiet})
	use(b)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func duplicate(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOlderFileIsNoticed: five messages are in a copy of the file, five more are not.
func TestOlderFileIsNoticed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tamper   func(t *testing.T, path, kept string)
		noticed  bool
		messages service.Offset
	}{
		"the copy is put back": {func(t *testing.T, path, kept string) {
			t.Helper()
			duplicate(t, kept, path)
		}, true, 5},
		"the file beside is missing": {func(t *testing.T, path, _ string) {
			t.Helper()
			if err := os.Remove(path + startsSuffix); err != nil {
				t.Fatal(err)
			}
		}, true, 10},
		"the file beside is ahead": {func(t *testing.T, path, _ string) {
			t.Helper()
			beside, _, err := readStarts(path)
			if err != nil {
				t.Fatal(err)
			}
			beside.starts++
			if err := writeStarts(path, beside); err != nil {
				t.Fatal(err)
			}
		}, true, 10},
		"the file beside is of another store": {func(t *testing.T, path, _ string) {
			t.Helper()
			if err := writeStarts(path, start{"another", 1}); err != nil {
				t.Fatal(err)
			}
		}, true, 10},
		"the file beside makes no sense": {func(t *testing.T, path, _ string) {
			t.Helper()
			if err := os.WriteFile(path+startsSuffix, []byte("three\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, 10},
		// A broker that died between its two counts.
		"the file beside is behind": {func(t *testing.T, path, _ string) {
			t.Helper()
			beside, _, err := readStarts(path)
			if err != nil {
				t.Fatal(err)
			}
			beside.starts--
			if err := writeStarts(path, beside); err != nil {
				t.Fatal(err)
			}
		}, false, 10},
		"nothing": {func(*testing.T, string, string) {}, false, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "topiq.db")
			kept := path + ".kept"
			var producer service.Producer
			var head service.Head
			produce := func(b *service.Broker, seq int64) error {
				_, err := b.Produce(t.Context(), service.ProduceRequest{
					Topic: "log", Producer: producer.ID, Seq: &seq, Incarnation: head.Incarnation, Payloads: []service.Payload{{}},
				})
				return err
			}
			fill := func(b *service.Broker, from int64) {
				for seq := from; seq < from+5; seq++ {
					if err := produce(b, seq); err != nil {
						t.Fatal(err)
					}
				}
			}
			life(t, path, func(b *service.Broker) {
				var err error
				if producer, head, err = b.RegisterProducer(t.Context(), "log", "p", ""); err != nil {
					t.Fatal(err)
				}
				fill(b, 0)
			})
			duplicate(t, path, kept)
			life(t, path, func(b *service.Broker) { fill(b, 5) })
			test.tamper(t, path, kept)
			for range 2 { // what was found is found once, and stays so over another start
				life(t, path, func(b *service.Broker) {
					state, err := b.DescribeTopic(t.Context(), "log")
					if err != nil || state.Next != test.messages || (state.Incarnation != head.Incarnation) != test.noticed {
						t.Fatalf("%+v, %v; it was incarnation %s", state.Head, err, head.Incarnation)
					}
					if err := produce(b, 10); test.noticed != errors.Is(err, service.ErrIncarnationChanged) {
						t.Errorf("produce with the incarnation of before: %v", err)
					}
					head.Incarnation, test.noticed, test.messages = state.Incarnation, false, state.Next
				})
				if test.messages == 5 {
					break // the next seq of this client is not the one expected
				}
				test.messages = 11
				life(t, path, func(b *service.Broker) {
					if err := produce(b, 10); err != nil {
						t.Errorf("produce with the incarnation of now: %v", err)
					}
				})
			}
		})
	}
}

// TestSameCopyIsNoticedAgain: the counter never goes back.
func TestSameCopyIsNoticedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	life(t, path, func(b *service.Broker) {
		if _, err := b.CreateTopic(t.Context(), "log", service.TopicChange{}); err != nil { // and nothing is appended before the copy
			t.Fatal(err)
		}
	})
	duplicate(t, path, path+".kept")
	seen := map[string]bool{}
	for range 3 {
		life(t, path, func(b *service.Broker) {
			state, err := b.DescribeTopic(t.Context(), "log")
			if err != nil || seen[state.Incarnation] {
				t.Errorf("%+v, %v: the copy was put back, and not noticed", state.Head, err)
			}
			seen[state.Incarnation] = true
		})
		duplicate(t, path+".kept", path)
	}
}

// TestStartFailsWithoutItsCount: a start that cannot be counted would hide the next copy.
func TestStartFailsWithoutItsCount(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	if err := os.MkdirAll(path+startsSuffix+newSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), path, Config{}); err == nil {
		closed(t, s)
		t.Fatal("it starts")
	}
	if _, err := os.Stat(path + startsSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestHeadsOfBefore: what was written before heads had an identity is taken as it is.
func TestHeadsOfBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, path)
	head, err := s.CreateTopic(t.Context(), service.NewTopic{Name: "log", Incarnation: "one"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.writer.do(t.Context(), func(ctx context.Context, tx *tx) error {
		_, err := tx.on.ExecContext(ctx, "UPDATE heads SET identity = ''")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if err := os.Remove(path + startsSuffix); err != nil { // there was none either
		t.Fatal(err)
	}
	s = opened(t, path)
	heads, err := s.Heads(t.Context(), []service.TopicName{"log"})
	if err != nil || len(heads) != 1 || heads[0] != head {
		t.Errorf("the head of before is %+v, %v; want %+v", heads, err, head)
	}
	var left int
	if err := s.pool.QueryRowContext(t.Context(), "SELECT count(*) FROM heads WHERE identity = ''").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d heads are without an identity, %v", left, err)
	}
}
