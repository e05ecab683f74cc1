package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/service"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := children[role](os.Getenv(childPath), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T) service.Store {
		t.Helper()
		return opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	})
}

// opened opens a store that is closed with the test.
func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s) })
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// log is a topic with a named producer, for tests of what becomes of messages.
type log struct {
	store    *Store
	head     service.Head
	producer service.Producer
}

func newLog(ctx context.Context, s *Store) (*log, error) {
	producer, head, err := s.RegisterProducer(ctx, service.ProducerRegistration{
		Topic: service.NewTopic{Name: "log", Incarnation: "one", At: time.Now()}, Name: "writer",
	})
	return &log{s, head, producer}, err
}

// message is the payload of the message with a seq.
func message(seq int64, size int) service.Payload {
	text := fmt.Appendf(nil, "message %d ", seq)
	for len(text) < size {
		text = append(text, byte(seq+int64(len(text))))
	}
	return service.Payload{Bytes: text, Binary: true}
}

// send appends n messages from a seq on.
func (l *log) send(ctx context.Context, seq int64, n, size int) (service.AppendResult, error) {
	request := service.AppendRequest{Topic: l.head.ID, Producer: l.producer.ID, Seq: seq}
	for i := range n {
		request.Payloads = append(request.Payloads, message(seq+int64(i), size))
	}
	plan, err := l.store.Append(ctx, []service.AppendRequest{request}, time.Now())
	if err != nil {
		return service.AppendResult{}, err
	}
	if plan.Results[0].Err != nil {
		return service.AppendResult{}, plan.Results[0].Err
	}
	return plan.Results[0], nil
}

// verify checks that the log has the messages 0 … n−1 or more, each once, and returns how many.
func (l *log) verify(t *testing.T, atLeast int64, size int) int64 {
	t.Helper()
	heads, err := l.store.Heads(t.Context(), []service.TopicName{"log"})
	if err != nil || len(heads) != 1 {
		t.Fatalf("heads %v, %v", heads, err)
	}
	next := int64(heads[0].Next)
	if next < atLeast {
		t.Fatalf("%d messages are stored, %d were acknowledged", next, atLeast)
	}
	for from := int64(0); from < next; {
		messages, err := l.store.Read(t.Context(), l.head.ID, service.Offset(from), 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := service.CheckRun(messages, service.Offset(from), 1000); err != nil {
			t.Fatal(err)
		}
		for i := range messages {
			want := message(from, size)
			if m := &messages[i]; m.Seq != from || !m.Same(&want) {
				t.Fatalf("offset %d has seq %d and other bytes than were sent", from, m.Seq)
			}
			from++
		}
	}
	if p, err := l.store.Producer(t.Context(), "log", "writer"); err != nil || p.NextSeq != next || p.Count != next {
		t.Fatalf("the log has %d messages, its producer is %+v, %v", next, p, err)
	}
	return next
}

func TestReopenedFileKeepsEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.send(t.Context(), 0, 100, 50); err != nil {
		t.Fatal(err)
	}
	before, err := s.read.GetStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)

	s = opened(t, path)
	l.store = s
	if n := l.verify(t, 100, 50); n != 100 {
		t.Errorf("%d messages, want 100", n)
	}
	after, err := s.read.GetStore(t.Context())
	if err != nil || after.FileID != before.FileID || after.Starts != before.Starts+1 {
		t.Errorf("the file was %+v and is %+v, %v: want the same id, one start more", before, after, err)
	}
	// Ids go on where they were: one that was given away is not given again.
	again, _, err := s.RegisterProducer(t.Context(), service.ProducerRegistration{
		Topic: service.NewTopic{Name: "log"},
	})
	if err != nil || again.ID <= l.producer.ID {
		t.Errorf("a new producer got id %d after %d, %v", again.ID, l.producer.ID, err)
	}
}

func TestCallWhoseContextEndsWaitsNoLongerForTheWriter(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	s.writer.slot <- struct{}{} // a transaction is under way
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.CreateTopic(ctx, service.NewTopic{Name: "a"}); !errors.Is(err, service.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	<-s.writer.slot
}

func TestWriterSurvivesAPanic(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	func() {
		defer func() { _ = recover() }()
		_ = s.writer.do(t.Context(), func(ctx context.Context, tx *tx) error {
			if _, err := tx.newID(ctx, 7); err != nil {
				t.Error(err)
			}
			panic("in the middle of a transaction")
		})
	}()
	err := s.writer.do(t.Context(), func(ctx context.Context, tx *tx) error {
		id, err := tx.newID(ctx, 7)
		if want := service.NewID(1, 7); err == nil && id != want {
			err = fmt.Errorf("id %d, want %d: the transaction before was not rolled back", id, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Estrange makes a topic look like one of another file, for dbtest.
func (s *Store) Estrange(ctx context.Context, name service.TopicName) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *tx) error {
		_, err := tx.on.ExecContext(ctx, "UPDATE heads SET identity = 'another' WHERE (bucket, topic_id) IN "+
			"(SELECT bucket, topic_id FROM topics WHERE name = ?)", string(name))
		return err
	})
}
